"""The machine room: PostgreSQL, MLflow and Airflow on one laptop, started and stopped as one.

`up()` starts what settings do not place elsewhere; `down()` stops it; `services()` and `running()` say what runs, and
are light to ask.
What the processes see is in `perennial.embedded.environment`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial._common.lazy_imports import attributes_of

if TYPE_CHECKING:
    from perennial.embedded.machine import check_ports, down, up
    from perennial.embedded.parts import running, services

__all__ = ["check_ports", "down", "running", "services", "up"]

__getattr__ = attributes_of(__name__, {".machine": ("check_ports", "down", "up"), ".parts": ("running", "services")})
