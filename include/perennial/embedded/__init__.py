"""The machine room: PostgreSQL, MLflow and Airflow on one laptop, started and stopped as one.

`up()` starts what settings do not place elsewhere; `down()` stops it; `services()` and `running()` say what runs, and
are light to ask.
What the processes see is in `perennial.embedded.environment`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perennial.embedded.machine import check_ports, down, up
    from perennial.embedded.parts import running, services

__all__ = ["check_ports", "down", "running", "services", "up"]


def __getattr__(name: str) -> Any:
    """Imported when it is first used: who only asks what runs needs no client of HTTP and no SQLAlchemy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{'parts' if name in ('running', 'services') else 'machine'}"), name)
