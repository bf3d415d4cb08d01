"""The embedded servers: PostgreSQL, MLflow, Airflow and predictions on one laptop, started and stopped together.

- `startup`: `up()` starts the servers that settings do not place elsewhere, `down()` stops them;
- `status`: `services()` and `running()` tell what runs;
- `environment`: the environment variables of the servers' processes; `processes`, `postgres`, `mlflow_server`: those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial._common.lazy_imports import attributes_of

if TYPE_CHECKING:
    from perennial.embedded.startup import check_ports, down, up
    from perennial.embedded.status import running, services

__all__ = ["check_ports", "down", "running", "services", "up"]

__getattr__ = attributes_of(__name__, {".startup": ("check_ports", "down", "up"), ".status": ("running", "services")})
