"""Refuses a catalog that holds another environment's lake: catalogs such as Glue may be shared by mistake."""

from __future__ import annotations

from contextlib import suppress

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError, NoSuchNamespaceError

from perennial.errors import InvalidSetting
from perennial.settings import settings

#: A namespace without tables, whose property names the environment. Without an environment, there is none.
NAMESPACE = "_environment"
_PROPERTY = "environment"


def check(catalog: Catalog) -> None:
    """Check that a catalog is this environment's, and mark it as such if nothing is in it yet.

    Raises:
        InvalidSetting: it holds the lake of another environment, or of the one without a name.
    """
    name, owner = settings().environment, _owner(catalog)
    if owner is None and name:
        if catalog.list_namespaces():
            owner = _owner(catalog) or ""  # Another process may just have marked it.
        else:
            with suppress(NamespaceAlreadyExistsError):
                catalog.create_namespace(NAMESPACE, {_PROPERTY: name})
            owner = _owner(catalog)
    if (owner or "") != name:
        raise InvalidSetting(
            f"This is {_described(name)}, and its catalog holds the lake of {_described(owner or '')}.",
            "Correct PERENNIAL_ENVIRONMENT, or give each environment a catalog or PostgreSQL database of its own"
            " (PERENNIAL_CATALOG, PERENNIAL_DATABASE).",
        )


def _owner(catalog: Catalog) -> str | None:
    """The environment that a catalog was marked for; None: it is not marked."""
    try:
        return catalog.load_namespace_properties(NAMESPACE).get(_PROPERTY)
    except NoSuchNamespaceError:
        return None


def _described(name: str) -> str:
    return f"the environment {name!r}" if name else "the environment without a name"
