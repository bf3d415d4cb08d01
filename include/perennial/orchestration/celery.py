"""Celery workers that start with the heavy libraries already imported.

Named in `AIRFLOW__CELERY__CELERY_CONFIG_OPTIONS` as `perennial.orchestration.celery.CONFIG`, Airflow's own setting for
a configuration of one's own. A worker forks its pool, and each process of the pool forks its tasks: what the worker has
imported before is there in all of them.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.celery.executors.default_celery import DEFAULT_CELERY_CONFIG
from celery.signals import worker_init

from perennial._common.heavy_imports import preload

#: Airflow's own configuration, unchanged: naming this module is what matters.
CONFIG: dict[str, Any] = DEFAULT_CELERY_CONFIG


@worker_init.connect
def preload_libraries(**_about_the_worker: Any) -> None:
    """Import before the pool is forked. Sent in a worker only, never in the scheduler that reads `CONFIG` too."""
    preload()
