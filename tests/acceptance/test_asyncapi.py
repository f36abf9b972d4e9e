"""The AsyncAPI document is valid by the official JSON schema of AsyncAPI 3.0.

The schema is part of the npm package `@asyncapi/specs` (Apache-2.0), which the AsyncAPI initiative maintains; no
package of PyPI has it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest

from craft_easy.core.events.operations.schema import asyncapi
from tests.unit.test_schema_documents import catalogue

PACKAGE: Final = "@asyncapi/specs@6.11.1"
SCHEMA: Final = "package/schemas/3.0.0-without-$id.json"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> jsonschema.Draft7Validator:
    """The official schema, fetched by npm, which keeps it for the next time."""
    if shutil.which("npm") is None and "CI" not in os.environ:
        pytest.skip("npm is not installed")
    directory = tmp_path_factory.mktemp("npm")
    command = ["npm", "pack", "--silent", "--prefer-offline", PACKAGE]
    packed = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300)
    assert packed.returncode == 0, packed.stderr
    with tarfile.open(directory / packed.stdout.split()[-1]) as archive:
        file = archive.extractfile(SCHEMA)
        assert file is not None
        return jsonschema.Draft7Validator(json.load(file))


def document(*types: str) -> dict[str, Any]:
    return asyncapi.document(catalogue(*types), title="Shop", version="4.2.0")


def test_the_document_of_every_shape_of_class_is_valid(official: jsonschema.Draft7Validator) -> None:
    whole = document()
    assert len(whole["channels"]) > 15
    official.validate(whole)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["info", "version"], None),
        (["channels", "types.tree", "address"], 1),
        (["operations", "shop_see.types.tree", "action"], "take"),
        (["components", "messages", "types.tree", "playload"], {}),
        (["components", "schemas", "types.rich.Line", "type"], "text"),
        (["components", "schemas", "types.rich.Line", "items"], 1),
    ],
    ids=lambda one: one[-1] if isinstance(one, list) else "",
)
def test_a_document_that_is_wrong_anywhere_is_not(
    official: jsonschema.Draft7Validator, path: list[str], value: Any
) -> None:
    whole = document("types.tree", "types.rich")
    assert official.is_valid(whole)
    *parents, last = path
    part = whole
    for name in parents:
        part = part[name]
    part[last] = value
    assert not official.is_valid(whole)


def test_the_document_of_the_bookshop_is_valid(official: jsonschema.Draft7Validator, tmp_path: Path) -> None:
    examples = Path(__file__).parents[2] / "examples"
    export = ["-m", "craft_events_cli", "schema", "export", "--format", "asyncapi"]
    command = [sys.executable, *export, "-m", "bookshop.handlers", "--app-dir", str(examples)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    whole = json.loads(done.stdout)
    assert "bookshop.handlers_pack_parcel.order.placed" in whole["operations"]
    official.validate(whole)
