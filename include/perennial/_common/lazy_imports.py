"""Packages that offer names of their modules and import a module only when one of its names is first used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def attributes_of(
    package: str, modules: Mapping[str, Sequence[str]], submodules: Sequence[str] = ()
) -> Callable[[str], Any]:
    """The `__getattr__` of a package (PEP 562), so that importing the package itself stays cheap.

    Args:
        package: The package's `__name__`.
        modules: Module -> the names that the package offers from it. A module without a leading dot is absolute.
        submodules: Modules of the package that it offers themselves, also to whoever did not import them.
    """
    places = {name: module for module, names in modules.items() for name in names}

    def attribute(name: str) -> Any:
        if name in submodules:
            return import_module(f"{package}.{name}")
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(places[name], package), name)

    return attribute
