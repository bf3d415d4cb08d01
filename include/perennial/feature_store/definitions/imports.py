"""Imports the Python modules of a feature repository, and forgets them afterwards."""

from __future__ import annotations

import importlib
import importlib.util
import linecache
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from perennial.errors import BadFeatures

_one_at_a_time = threading.Lock()


def import_modules(folder: Path) -> dict[Path, ModuleType]:
    """Import the modules of a feature repository again, as the files are now.

    Returns:
        File (absolute) -> its module.

    Raises:
        BadFeatures: One cannot be imported.
    """
    modules, broken = import_working_modules(folder)
    if broken:
        raise next(iter(broken.values()))
    return modules


def import_working_modules(folder: Path) -> tuple[dict[Path, ModuleType], dict[Path, BadFeatures]]:
    """Import what can be imported of the modules of a feature repository, as the files are now.

    Returns:
        File (absolute) -> its module; and file -> why it cannot be imported.
    """
    from feast.repo_operations import get_repo_files

    folder = folder.resolve()
    modules, broken = {}, {}
    with _one_at_a_time, _importing_from(folder):
        for file in get_repo_files(folder):
            try:
                modules[file] = _import(folder, file)
            except BadFeatures as error:
                broken[file] = error
    return modules, broken


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Let the repository's modules import one another by bare name, and forget them all afterwards.

    Another repository, or the same one edited, may define the same names.
    """
    before = set(sys.modules)
    writes_bytecode = not sys.dont_write_bytecode
    # Bytecode is matched by second and size: a file edited twice in a second would be read as it was.
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.dont_write_bytecode = not writes_bytecode
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if any(path.startswith(f"{folder}/") for path in _paths(sys.modules[name])):
                del sys.modules[name]


def _paths(module: ModuleType) -> list[str]:
    """Where a module is: its file, and the folders of a package, which need not have one."""
    return [str(getattr(module, "__file__", None) or ""), *map(str, getattr(module, "__path__", []))]


def _import(folder: Path, file: Path) -> ModuleType:
    name = ".".join(file.relative_to(folder).with_suffix("").parts)
    loaded = sys.modules.get(name)
    if loaded is not None and Path(getattr(loaded, "__file__", None) or "").resolve() == file:
        return loaded
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise BadFeatures(f"feature_repo/{file.name} is not a Python module.", "List it in .feastignore.")
    module = importlib.util.module_from_spec(spec)
    shadowed = sys.modules.get(name)
    sys.modules[name] = module
    # Feast keeps the text of an on-demand view's function, and reads it by this cache, which does not look for itself.
    linecache.checkcache(str(file))
    try:
        spec.loader.exec_module(module)
    except BadFeatures:
        raise
    except Exception as error:
        line = _line_of(error, file)
        raise BadFeatures(
            f"feature_repo/{file.name}{f', line {line},' if line else ''} cannot be imported:"
            f" {type(error).__name__}: {error}",
            "Fix the file; `feast apply` in feature_repo/ shows the same error with its whole trace.",
        ) from error
    finally:
        if shadowed is not None:
            sys.modules[name] = shadowed
    return module


def _line_of(error: Exception, file: Path) -> int | None:
    """The last line of `file` that an error passed through, or the line of a syntax error."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    line = next((frame.lineno for frame in frames if frame.filename == str(file)), None)
    return line or getattr(error, "lineno", None)
