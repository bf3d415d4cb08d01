"""What of the machine room runs: asked by `perennial status`, so light to import."""

from __future__ import annotations

from dataclasses import dataclass

from perennial.embedded import processes
from perennial.services import postgres_address
from perennial.settings import Settings, settings

#: Airflow's components. The scheduler first: it takes the longest to start.
AIRFLOW = ("scheduler", "api-server", "dag-processor", "triggerer")


@dataclass(frozen=True)
class Service:
    """One part of the machine room as a person sees it."""

    name: str
    address: str
    state: str  #: running, stopped or external


def services() -> list[Service]:
    """The parts, their addresses and whether they run."""
    where = settings()
    airflow_runs = all(is_running(name) for name in AIRFLOW)
    embedded_database = where.database is None
    return [
        Service("Airflow", where.airflow_uri, _state(embeds_airflow(where), airflow_runs)),
        Service("MLflow", where.mlflow_uri, _state(embeds_mlflow(where), is_running("mlflow"))),
        Service(
            "PostgreSQL",
            str(postgres_address.folder()) if embedded_database else "PERENNIAL_DATABASE",
            _state(embedded_database, embedded_database and postgres_address.is_ready()),
        ),
    ]


def running() -> list[str]:
    """The names of what `down` would stop."""
    names = [*AIRFLOW, "mlflow"]
    found = [name for name in names if (record := processes.Record.read(name)) and record.family()]
    return [*found, *(["postgresql"] if postgres_address.process() else [])]


def embeds_mlflow(where: Settings) -> bool:
    return where.mlflow_uri == f"http://{where.mlflow_host}:{where.mlflow_port}"


def embeds_airflow(where: Settings) -> bool:
    return where.airflow_uri == f"http://{where.airflow_host}:{where.airflow_port}"


def is_running(name: str) -> bool:
    """Whether the process that `up` started as `name` still runs."""
    record = processes.Record.read(name)
    return record is not None and record.process() is not None


def _state(embedded: bool, running: bool) -> str:
    return "external" if not embedded else "running" if running else "stopped"
