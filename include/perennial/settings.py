"""Where things are. Read from the environment, prefix `PERENNIAL_`; what a use case *is* lives in git instead."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from perennial import environments
from perennial.alert_routes import AlertRoute, check_names
from perennial.errors import InvalidSetting

#: Settings that name folders. They stay, whichever commit of the project a process reads.
_PLACES = ("environments", "home", "warehouse", "training_sets")
#: Where a server on this machine is reached that listens on all of its addresses.
_REACHED_AT = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}  # noqa: S104


def reached_at(host: str) -> str:
    """The host by which a server on this machine is reached that listens on an address, for a URL."""
    return _REACHED_AT.get(host, host)


class Prices(BaseModel):
    """What machines cost; a price that is not given is 0.

    Attributes:
        currency: Shown behind amounts.
        cpu_hour: One core for one hour.
        gb_hour: 10^9 bytes of memory for one hour.
        gb_read, gb_written: 10^9 bytes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    currency: str = ""
    cpu_hour: float = Field(default=0.0, ge=0)
    gb_hour: float = Field(default=0.0, ge=0)
    gb_read: float = Field(default=0.0, ge=0)
    gb_written: float = Field(default=0.0, ge=0)


class Settings(BaseSettings):
    """Locations and services. The defaults are for a laptop: one folder, loopback, an embedded PostgreSQL."""

    model_config = SettingsConfigDict(env_prefix="PERENNIAL_", env_ignore_empty=True, frozen=True, extra="ignore")

    project: Path = Field(
        default_factory=lambda: _project(),
        description="The project, which contains `dags/`, `feature_repo/` and `include/use_cases/`. Unset: the checkout"
        " that this package is in; installed elsewhere, the current folder or the nearest one above it that has a"
        " `feature_repo/`.",
    )
    environment: str = Field(
        default="",
        pattern=environments.NAME,
        description="The [environment](environments.md), such as `staging`: its settings are in a file in git, and its"
        " data and models under names of its own. Unset: the one without a name.",
    )
    environments: Path = Field(
        default=Path("environments"), description="Folder of the environments' files; relative to `project`."
    )
    home: Path = Field(
        default=Path(".perennial"),
        description="Folder of everything generated; relative to `project`. An environment's is below it.",
    )
    database: SecretStr | None = Field(
        default=None,
        description="SQLAlchemy URL of a PostgreSQL server for the databases `airflow`, `mlflow`, `lake` and `feast`."
        " Unset: the embedded one under `home`.",
    )
    warehouse: str = Field(
        default="",
        description="Root of the Iceberg lake: a folder, relative to `project`, or `s3://bucket/prefix`."
        " Unset: `lake` under `home`.",
    )
    catalog: dict[str, str] = Field(
        default_factory=dict,
        description="pyiceberg catalog properties (JSON), for instance `type`, `uri`, `s3.endpoint`. Without a `type`:"
        " SQL on the database `lake`.",
    )
    online_store: SecretStr | None = Field(
        default=None,
        description="URL of Feast's online store: `redis://`, `postgresql://`, `dynamodb://` or `sqlite://`."
        " Unset: an SQLite file under `home`.",
    )
    training_sets: str = Field(
        default="",
        description="Root of the training sets: a folder, relative to `project`, or S3."
        " Unset: `training_sets` under `home`.",
    )
    mlflow_host: str = Field(default="127.0.0.1", description="Address on which the embedded MLflow listens.")
    mlflow_port: int = Field(default=5500, ge=1, le=65535, description="Port of the embedded MLflow.")
    mlflow_uri: str = Field(default="", description="URL of the MLflow tracking server. Unset: the embedded one.")
    mlflow_artifacts_uri: str = Field(
        default="",
        description="URL of a separate artifact server (`mlflow server --artifacts-only`), or another name of the"
        " tracking server in its experiments' artifact locations: MLflow's login is sent there too."
        " Unset: only to the tracking server.",
    )
    airflow_host: str = Field(default="127.0.0.1", description="Address on which the embedded Airflow listens.")
    airflow_port: int = Field(default=8080, ge=1, le=65535, description="Port of the embedded Airflow.")
    airflow_uri: str = Field(default="", description="URL of the Airflow API server. Unset: the embedded one.")
    mlflow_public_uri: str = Field(
        default="",
        description="URL of MLflow in links for people. Unset: the same as `mlflow_uri`.",
    )
    airflow_public_uri: str = Field(
        default="", description="URL of Airflow in links for people. Unset: as `airflow_uri`."
    )
    airflow_allowed_hosts: list[str] = Field(
        default_factory=list,
        description="Names (JSON) by which Airflow may be reached beside loopback and the hosts of the addresses above:"
        ' `["airflow.example.com"]`, `["*.example.com"]`. A request for another host is answered with 400.'
        ' `["*"]`: any host.',
    )
    serving_host: str = Field(default="127.0.0.1", description="Address on which `perennial serve` listens.")
    serving_port: int = Field(default=8090, ge=1, le=65535, description="Port of `perennial serve`.")
    serving_workers: int = Field(
        default=1, ge=1, le=64, description="Processes of `perennial serve`; each uses one core, and loads all models."
    )
    serving_uri: str = Field(
        default="",
        description="URL of the prediction server, or of the proxy before several. Unset: the one on this machine,"
        " which `perennial up` starts beside the embedded Airflow. `none`: there is none.",
    )
    serving_token: SecretStr | None = Field(
        default=None,
        description="Token that `perennial ask` and the gate's smoke test show to the prediction server; the latter"
        " needs one made with `--may-pin`. Unset: one that they make in the home, and revoke when they are done.",
    )
    serving_log: Literal["system", "disk"] = Field(
        default="system",
        description="How far the record of a prediction is before it is answered: with the operating system, which"
        " outlives the server (`system`), or on the disk, which outlives an outage of power (`disk`).",
    )
    log_format: Literal["text", "json"] = Field(
        default="text",
        description="How the prediction server writes its log lines to standard error: for people, or as a JSON object"
        " a line (`timestamp`, `level`, `logger`, `event`, `exception`). Airflow's processes have a setting of their"
        " own, `AIRFLOW__LOGGING__JSON_LOGS`.",
    )
    commit: str = Field(
        default="", description="The git commit of the code, for where there is no checkout, as in a container image."
    )
    users: dict[str, Literal["viewer", "user", "op", "admin"]] = Field(
        default_factory=dict,
        description="Further users of the embedded Airflow (JSON) with their roles: `viewer` may only read, `user`,"
        ' `op` and `admin` may also act; `{"vera": "viewer"}`. `perennial login` prints their passwords.',
    )
    sources_from_runs: bool | None = Field(
        default=None,
        description="Whether a run may name the place that a source is read from, other than the variable of Airflow's"
        " workers does: whoever may start runs then chooses which files the workers read."
        " Unset: only where the embedded Airflow has no users but its owner.",
    )
    prices: Prices | None = Field(
        default=None,
        description="What machines cost (JSON), for `perennial costs`:"
        ' `{"currency": "EUR", "cpu_hour": 0.04, "gb_hour": 0.005}`, also `gb_read` and `gb_written`.'
        " Unset: no money is shown.",
    )
    parallelism: int = Field(default=4, ge=1, description="Number of tasks that the embedded Airflow may run at once.")
    alerts_every: int = Field(
        default=5,
        ge=0,
        le=1440,
        description="Minutes from one look for incidents to the next, by the DAG `alerts`; 0: nobody looks.",
    )
    pipelines_apply: bool = Field(
        default=True,
        description="Whether pipelines register changed feature definitions that destroy nothing. Otherwise, and in"
        " runs of a [git bundle](git_bundles.md), only `perennial apply` does.",
    )
    trusted_model_types: Literal["declared", "any"] = Field(
        default="declared",
        description="`declared`: a model is loaded only if skops or its use case's `trusted_types` lists every type in"
        " it. `any`: trust all types, and versions that no training run wrote.",
    )

    alert_routes: list[AlertRoute] = Field(
        default_factory=list,
        description="Who is told of incidents (JSON): a list of [routes](alerts.md#routes). Empty: nobody is.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What the environment's variables set wins over what the file of `environment` sets."""
        given = env_settings() | init_settings()
        name = given.get("environment", "")
        if not re.fullmatch(environments.NAME, name) or not name:
            return init_settings, env_settings
        project = Path(given.get("project") or _project()).resolve()
        file = project / given.get("environments", "environments") / f"{name}.toml"
        environments.check_file(name, file, cls.model_fields)
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file)

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, given: dict) -> dict:
        project = Path(given.get("project") or _project()).resolve()
        name = given.get("environment", "")
        home = Path(
            environments.own_place(str(project / given.get("home", ".perennial")), f"environments/{name}", name)
        )
        # Servers and commands run in different folders, but must refer to the same place.
        placed = {
            # What is below the environment's home is its own already, as is what one process hands to another.
            field: place if place.startswith(f"{home}/") else environments.own_place(place, name, name)
            for field in ("warehouse", "training_sets")
            if given.get(field) and (place := _absolute(given[field], project))
        }
        serving_host = reached_at(given.get("serving_host", "127.0.0.1"))
        derived = {
            "warehouse": str(home / "lake"),
            "training_sets": str(home / "training_sets"),
            "mlflow_uri": f"http://{given.get('mlflow_host', '127.0.0.1')}:{given.get('mlflow_port', 5500)}",
            "airflow_uri": f"http://{given.get('airflow_host', '127.0.0.1')}:{given.get('airflow_port', 8080)}",
            "serving_uri": f"http://{serving_host}:{given.get('serving_port', 8090)}",
        }
        values = derived | given | placed | {"project": project, "home": home}
        values["environments"] = project / given.get("environments", "environments")
        return {f"{name}_public_uri": values[f"{name}_uri"] for name in ("mlflow", "airflow")} | values

    @field_validator("users")
    @classmethod
    def _are_names(cls, value: dict[str, str]) -> dict[str, str]:
        if wrong := [name for name in value if not re.fullmatch(r"[\w.@+-]{1,64}", name)]:
            raise ValueError(f"{wrong[0]!r} is not a user name: letters, digits and . _ @ + - only")
        return value

    @field_validator("alert_routes")
    @classmethod
    def _have_names_of_their_own(cls, value: list[AlertRoute]) -> list[AlertRoute]:
        return check_names(value)

    @field_validator("airflow_allowed_hosts")
    @classmethod
    def _are_hosts(cls, value: list[str]) -> list[str]:
        if wrong := [
            host for host in value if not re.fullmatch(r"\*|(\*\.)?[\w.-]+|\[[\da-f:.]+\]", host, re.IGNORECASE)
        ]:
            raise ValueError(f"{wrong[0]!r} is no host: a name without a port, *.name, or *")
        return value

    @property
    def runs_may_choose_sources(self) -> bool:
        """Whether a run may name the place that a source is read from."""
        if self.sources_from_runs is not None:
            return self.sources_from_runs
        is_embedded = self.airflow_uri == f"http://{self.airflow_host}:{self.airflow_port}"
        return is_embedded and not self.users

    def own_name(self, name: str, separator: str = ".") -> str:
        """A name that no other environment on the same server uses; without an environment, the name itself.

        Args:
            name: Of a database, a registered model or an experiment.
            separator: Between the environment's name and this one.
        """
        return f"{self.environment}{separator}{name}" if self.environment else name

    @property
    def feature_repo(self) -> Path:
        """The folder of Feast definitions."""
        return self.project / "feature_repo"


def _project() -> Path:
    here = Path.cwd()
    for folder in (Path(__file__).resolve().parents[2], here, *here.parents):
        if (folder / "feature_repo/feature_store.yaml").is_file():
            return folder
    return here


def _absolute(place: str, project: Path) -> str:
    return place if "://" in place or place.startswith("file:") else str(project / place)


def variable(name: str) -> str:
    """The environment variable that sets the setting `name`."""
    return f"{Settings.model_config['env_prefix']}{name}".upper()


@cache
def settings() -> Settings:
    """The process's settings, read once. Tests that change the environment call `settings.cache_clear()`.

    Raises:
        InvalidSetting: An environment variable has an invalid value.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join([variable(str(each['loc'][0])), *map(str, each['loc'][1:])])}: {each['msg']}"
            for each in error.errors(include_input=False)
        )
        raise InvalidSetting(
            f"The environment sets {wrong}.",
            "Correct or unset it; an environment's file (PERENNIAL_ENVIRONMENT) sets what variables do not.",
        ) from None
    except SettingsError as error:
        name = next((name for name in Settings.model_fields if f'"{name}"' in str(error)), "")
        raise InvalidSetting(
            f"The environment sets {variable(name)} to something that is not JSON.", "Correct it."
        ) from None


def use_project(project: Path, commit: str = "") -> None:
    """Let this process, and those that it starts, read another project's files. Where data are stays as it was.

    Args:
        project: Its folder; it needs to be no checkout.
        commit: The commit of git that the folder is pinned to; empty: none.
    """
    before = settings()
    os.environ |= {variable(name): str(getattr(before, name)) for name in _PLACES}
    os.environ[variable("project")] = str(project)
    if commit:
        # Runs of several commits are under way at once: they would replace each other's definitions.
        os.environ |= {variable("commit"): commit, variable("pipelines_apply"): "false"}
    settings.cache_clear()
