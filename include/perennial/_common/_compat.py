"""What importing Feast and MLflow fast takes beyond their public APIs, each with its reason.

`tests/_common/test__compat.py` fails once one of the two changed, or is no longer needed: then it can go.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger(__name__)


@contextmanager
def without_typeguard() -> Iterator[None]:
    """Make `typeguard.typechecked`, by which Feast decorates its functions, do nothing.

    It compiles each function again at import. Its own switch is `python -O`, which also drops everybody's assertions.
    """
    try:
        import typeguard
    except ImportError:
        yield
        return
    original = typeguard.typechecked

    def untouched(target: Any = None, **_options: Any) -> Any:
        return target if target is not None else untouched

    typeguard.typechecked = untouched
    try:
        yield
    finally:
        typeguard.typechecked = original


def map_packages() -> None:
    """MLflow lists every file of every installed package before it logs a model: two seconds, in each process."""
    try:
        from mlflow.utils.requirements_utils import _init_packages_to_modules_map
    except ImportError:
        log.warning("MLflow no longer maps packages to modules as it did; `map_packages` can go")
    else:
        _init_packages_to_modules_map()
