"""Which of the embedded servers are used, and which of them run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from perennial.embedded import processes
from perennial.services import postgres_address
from perennial.settings import Settings, reached_at, settings

#: The scheduler first: it takes the longest to start.
AIRFLOW_COMPONENTS = ("scheduler", "api-server", "dag-processor", "triggerer")
#: Seconds without a task after which the scheduler's workers end, which hold memory of their own. The next task forks
#: them again.
WORKERS_END_AFTER = 60.0
ServiceState = Literal["running", "stopped", "external"]


@dataclass(frozen=True)
class ServiceStatus:
    """Airflow, MLflow, PostgreSQL or the prediction server, and whether it runs; `external`: it is placed elsewhere."""

    name: str
    address: str
    state: ServiceState


def services() -> list[ServiceStatus]:
    """The services, their addresses and whether they run."""
    where = settings()
    airflow_runs = all(is_running(name) for name in AIRFLOW_COMPONENTS)
    embedded_database = where.database is None
    return [
        ServiceStatus("Airflow", where.airflow_uri, _state(embeds_airflow(where), airflow_runs)),
        ServiceStatus("MLflow", where.mlflow_uri, _state(embeds_mlflow(where), is_running("mlflow"))),
        ServiceStatus(
            "PostgreSQL",
            str(postgres_address.folder()) if embedded_database else "PERENNIAL_DATABASE",
            _state(embedded_database, embedded_database and postgres_address.is_ready()),
        ),
        ServiceStatus("Serving", where.serving_uri, _state(embeds_serving(where), is_running("serving"))),
    ]


def running() -> list[str]:
    """The names of the processes that `down` would stop."""
    names = [*AIRFLOW_COMPONENTS, "mlflow", "serving"]
    started = [name for name in names if (record := processes.Record.read(name)) and record.family()]
    return [*started, *(["postgresql"] if postgres_address.process() else [])]


def embeds_mlflow(where: Settings) -> bool:
    """Whether these settings use the embedded MLflow."""
    return where.mlflow_uri == f"http://{where.mlflow_host}:{where.mlflow_port}"


def embeds_airflow(where: Settings) -> bool:
    """Whether these settings use the embedded Airflow."""
    return where.airflow_uri == f"http://{where.airflow_host}:{where.airflow_port}"


def embeds_serving(where: Settings) -> bool:
    """Whether these settings use the embedded prediction server: beside the embedded Airflow, which trains models."""
    return (
        embeds_airflow(where) and where.serving_uri == f"http://{reached_at(where.serving_host)}:{where.serving_port}"
    )


def is_running(name: str) -> bool:
    """Whether the process that `up` started as `name` still runs."""
    record = processes.Record.read(name)
    return record is not None and record.process() is not None


def _state(embedded: bool, running: bool) -> ServiceState:
    return "external" if not embedded else "running" if running else "stopped"
