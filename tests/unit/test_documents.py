from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from craft_easy.core.documents import BaseDocument


class Invoice(BaseDocument):
    collection: ClassVar[str] = "invoices"

    number: str


class Country(BaseDocument):
    collection = "countries"
    tenant_scoped = False
    indexes = ("code",)

    code: str


def test_a_document_belongs_to_a_tenant_and_has_no_index_by_default() -> None:
    assert (Invoice.collection, Invoice.tenant_scoped, tuple(Invoice.indexes)) == ("invoices", True, ())
    assert (Country.collection, Country.tenant_scoped, Country.indexes) == ("countries", False, ("code",))


def test_attributes_of_the_collection_are_not_fields_of_the_document() -> None:
    assert Country(code="SE").model_dump() == {"id": None, "code": "SE"}


@pytest.mark.parametrize("key", ["id", "_id"])
def test_the_id_is_accepted_by_name_and_as_the_database_has_it(key: str) -> None:
    document = Invoice.model_validate({key: 7, "number": "n"})

    assert document.id == 7
    assert document.model_dump(by_alias=True) == {"_id": 7, "number": "n"}


def test_the_id_can_be_of_any_type() -> None:
    class Key:
        pass

    key: Any = Key()
    assert Invoice(_id=key, number="n").id is key


def test_a_document_is_validated() -> None:
    with pytest.raises(ValidationError):
        Invoice.model_validate({"number": []})
