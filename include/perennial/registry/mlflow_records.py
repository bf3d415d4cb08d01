"""Reads what MLflow recorded: runs, registered versions and artifacts, and the addresses where people see them.

For pages, previews and tasks alike; they differ in how long they wait (`quick`, `patient`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from perennial.registry import mlflow_api
from perennial.registry.mlflow_api import TimeLimits
from perennial.settings import settings

_RUN = re.compile(r"/runs/([0-9a-f]{32})\b")
_LOGGED_MODEL = re.compile(r"models:/(m-[0-9a-f]{32})")
#: Metrics of a training run: what it cost.
COST_CPU_SECONDS, COST_GB_HOURS, COST_MONEY = "cost_cpu_seconds", "cost_gb_hours", "cost_money"


@dataclass(frozen=True)
class MlflowRun:
    """An MLflow run.

    Attributes:
        experiment: The number of its experiment.
        started: UTC.
        ended: UTC; None: it has not ended.
        is_deleted: It is in MLflow's trash.
    """

    id: str
    experiment: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]
    started: datetime | None = None
    ended: datetime | None = None
    is_deleted: bool = False

    @property
    def page(self) -> str:
        """Where MLflow shows it."""
        return f"{settings().mlflow_public_uri}/#/experiments/{self.experiment}/runs/{self.id}"

    def artifact_page(self, path: str) -> str:
        """Where MLflow shows one of its artifacts."""
        return f"{self.page}/artifacts/{quote(path)}"

    @property
    def cost(self) -> str:
        """What all tasks of the run cost, in words, money at the prices of then; empty: it was not recorded."""
        units = {
            COST_CPU_SECONDS: "{:,.1f} CPU seconds",
            COST_GB_HOURS: "{:,.4f} GB hours",
            COST_MONEY: "{:,.4f} in money",
        }
        return ", ".join(unit.format(self.metrics[name]) for name, unit in units.items() if name in self.metrics)


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a registered model.

    Attributes:
        run_id: The run that made it, as the registry says; empty: it does not say.
        source: The address that it was registered from.
    """

    run_id: str
    source: str

    @property
    def model_id(self) -> str | None:
        """MLflow's id of the logged model that it was registered from; None: it was registered from something else."""
        match = _LOGGED_MODEL.fullmatch(self.source)
        return match[1] if match else None


class MlflowRecords:
    """What an MLflow server recorded.

    Args:
        limits: How long an answer is waited for. Each method raises `ServiceUnavailable` where none comes in time.
    """

    def __init__(self, limits: Callable[[], TimeLimits]) -> None:
        self._limits = limits

    def run(self, run_id: str) -> MlflowRun | None:
        """One run, also a deleted one; None if there is none."""
        content = self._json("runs/get", run_id=run_id).get("run")
        if content is None:
            return None
        info, data = content["info"], content["data"]
        texts = {kind: {each["key"]: each["value"] for each in data.get(kind, ())} for kind in ("tags", "params")}
        return MlflowRun(
            id=run_id,
            experiment=info["experiment_id"],
            **texts,
            metrics={each["key"]: float(each["value"]) for each in data.get("metrics", ())},
            started=_time(info.get("start_time")),
            ended=_time(info.get("end_time")),
            is_deleted=info["lifecycle_stage"] == "deleted",
        )

    def run_of(self, model: str, version: int) -> str | None:
        """The id of the run that made a registered version; None: there is no such version.

        Args:
            model: Name of the registered model: the use case.
            version: Its number.
        """
        found = self.version(model, version)
        return found.run_id if found else None

    def version(self, model: str, version: int) -> RegisteredVersion | None:
        """A registered version; None: there is none.

        Args:
            model: Name of the registered model: the use case.
            version: Its number.
        """
        answer = self._json("model-versions/get", name=settings().own_name(model), version=str(version)).get(
            "model_version"
        )
        return RegisteredVersion(answer.get("run_id", ""), answer.get("source", "")) if answer else None

    def versions(self, model: str) -> list[int]:
        """All registered versions of a model, oldest first."""
        response = self._json(
            "model-versions/search", filter=f"name='{settings().own_name(model)}'", max_results="1000"
        )
        return sorted(int(each["version"]) for each in response.get("model_versions", ()))

    def version_with_alias(self, model: str, alias: str) -> int | None:
        """The version that an alias names; None: none.

        Args:
            model: Name of the registered model: the use case.
            alias: Such as `challenger`.
        """
        version = self._json("registered-models/alias", name=settings().own_name(model), alias=alias).get(
            "model_version"
        )
        return int(version["version"]) if version else None

    def artifact(self, run_id: str, path: str) -> bytes | None:
        """The content of an artifact; None if there is none.

        Args:
            run_id: The run that kept it.
            path: Its name there.
        """
        response = mlflow_api.get("get-artifact", self._limits(), run_uuid=run_id, path=path)
        return response.content if response else None

    def documents(
        self, run_id: str, names: Iterable[str], accept: Callable[[str, bytes], bool] = lambda name, content: True
    ) -> dict[str, Any]:
        """The JSON artifacts of a run that exist, by name.

        Args:
            run_id: The run that kept them.
            names: Those that are asked for; none of them in a folder.
            accept: Whether a file of that name may have that content; one that may not is left out.
        """
        recorded = {each["path"] for each in self._json("artifacts/list", run_id=run_id).get("files", ())}
        present = [name for name in names if name in recorded]
        with ThreadPoolExecutor(max_workers=4) as threads:
            contents = dict(zip(present, threads.map(lambda name: self._document(run_id, name), present), strict=True))
        return {
            name: mlflow_api.parsed(content)
            for name, content in contents.items()
            if content is not None and accept(name, content)
        }

    def _document(self, run_id: str, name: str) -> bytes | None:
        response = mlflow_api.get("get-artifact", self._limits(), run_uuid=run_id, path=name)
        return response.content if response is not None else None

    def _json(self, path: str, /, **query: str) -> dict[str, Any]:
        return mlflow_api.get_json(f"api/2.0/mlflow/{path}", self._limits(), **query)


#: For pages and previews: an answer within seconds, or an error.
quick = MlflowRecords(lambda: mlflow_api.PAGE_LIMITS)
#: For tasks.
patient = MlflowRecords(mlflow_api.task_limits)


def run_page(run_id: str) -> str:
    """Where MLflow shows a run whose experiment is not known."""
    return f"{settings().mlflow_public_uri}/#/runs/{quote(run_id)}"


def model_page(model: str, version: int) -> str:
    """Where MLflow shows a registered version.

    Args:
        model: Name of the registered model: the use case.
        version: Its number.
    """
    return f"{settings().mlflow_public_uri}/#/models/{quote(settings().own_name(model))}/versions/{version}"


def run_id_in(address: str | None) -> str | None:
    """The id of the run that an address shows, wherever MLflow was when the address was recorded; None: of no run."""
    match = _RUN.search(address or "")
    return match[1] if match else None


def _time(milliseconds: str | int | None) -> datetime | None:
    """A moment as MLflow records it: milliseconds since 1970."""
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC) if milliseconds else None
