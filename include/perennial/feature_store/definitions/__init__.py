"""The Feast objects that `feature_repo/` defines: read without side effects, and checked against the lake.

- `objects`: reads entities, feature views and services; `imports`: imports the modules that define them;
- `checks`: compares each view with its lake table;
- `files`: digests of the files, kept with the registry;
- `local`: retrieval by the definitions on disk where the registry holds others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial._common.lazy_imports import attributes_of

if TYPE_CHECKING:
    from perennial.feature_store.definitions.files import digest
    from perennial.feature_store.definitions.imports import import_modules
    from perennial.feature_store.definitions.local import use_local_definitions
    from perennial.feature_store.definitions.objects import objects_of, read, read_working

__all__ = ["digest", "import_modules", "objects_of", "read", "read_working", "use_local_definitions"]

__getattr__ = attributes_of(
    __name__,
    {
        ".files": ["digest"],
        ".imports": ["import_modules"],
        ".local": ["use_local_definitions"],
        ".objects": ["objects_of", "read", "read_working"],
    },
)
