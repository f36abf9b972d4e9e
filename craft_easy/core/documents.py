"""A document of a MongoDB collection, as a model."""

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field


class BaseDocument(BaseModel):
    """Describes one document of a collection; it runs no queries and imports no driver.

    class Invoice(BaseDocument):
        collection = "invoices"

        number: str
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, arbitrary_types_allowed=True)

    collection: ClassVar[str]
    """The name of the collection."""
    tenant_scoped: ClassVar[bool] = True
    """True if each document belongs to one tenant."""
    indexes: ClassVar[Sequence[Any]] = ()
    """The indexes that the collection needs, in the form that its store creates them from."""

    id: Any = Field(default=None, alias="_id")
    """The document's `_id`, of the type that the collection uses; None until it is known."""
