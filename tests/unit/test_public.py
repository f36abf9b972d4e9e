"""The public names, which are imported at their first use."""

from importlib import import_module
from types import ModuleType

import pytest

from craft_easy.core.events import public

PACKAGES = [import_module(package) for package in public.MODULES]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_public_name_can_be_imported(package: ModuleType) -> None:
    names = package.__all__
    assert all(getattr(package, name) is not None for name in names)
    assert all(getattr(package, name) is not None for name in public.MODULES[package.__name__])


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_another_name_is_an_attribute_error(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        package.nothing  # noqa: B018 - the access is the test
