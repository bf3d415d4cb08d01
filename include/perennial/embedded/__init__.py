"""The machine room: PostgreSQL, MLflow and Airflow on one laptop, started and stopped as one.

`up()` starts what settings do not place elsewhere; `down()` stops it; `environment()` is what its processes see.
"""

from __future__ import annotations

from perennial.embedded.environment import environment
from perennial.embedded.machine import down, services, up

__all__ = ["down", "environment", "services", "up"]
