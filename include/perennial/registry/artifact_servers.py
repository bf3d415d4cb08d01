"""Lets MLflow's client exchange artifacts only with servers that its login is for.

Whoever creates an experiment names the place of its artifacts, and MLflow's client sends its login to any server that
is named there. MLflow uses these classes for such addresses, wherever it lists, reads or writes artifacts: they are
entry points `mlflow.artifact_repository` in pyproject.toml, for tools, and `tracking.client` registers them.
"""

from __future__ import annotations

from typing import Any

from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository
from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from perennial.errors import PerennialError

_PORTS = {"http": 80, "https": 443}


class HttpArtifacts(HttpArtifactRepository):
    """Artifacts at `http:` and `https:` addresses."""

    def __init__(self, artifact_uri: str, tracking_uri: str | None = None, *args: Any, **options: Any) -> None:
        super().__init__(artifact_uri, tracking_uri, *args, **options)
        check_server(self.artifact_uri, tracking_uri)


class ProxiedArtifacts(MlflowArtifactsRepository):
    """Artifacts at `mlflow-artifacts:` addresses, which may name a server too."""

    def __init__(self, artifact_uri: str, tracking_uri: str | None = None, *args: Any, **options: Any) -> None:
        super().__init__(artifact_uri, tracking_uri, *args, **options)
        check_server(self.artifact_uri, tracking_uri)


def register() -> None:
    """Let MLflow use the classes in this process, also if the package was installed before it had entry points."""
    from mlflow.store.artifact.artifact_repository_registry import get_registered_artifact_repositories

    ours = {"http": HttpArtifacts, "https": HttpArtifacts, "mlflow-artifacts": ProxiedArtifacts}
    get_registered_artifact_repositories().update(ours)  # type: ignore[arg-type]  # It holds classes, not objects.


def check_server(address: str, tracking_uri: str | None = None) -> None:
    """Refuse an address on a server that the login is not for.

    Args:
        address: Of artifacts; begins with `http:` or `https:`.
        tracking_uri: Of the tracking server. None: the one that MLflow's client uses.

    Raises:
        PerennialError: it is neither on the tracking server nor on the one that settings name for artifacts.
        ServiceUnavailable: another account's program listens where the embedded server should.
    """
    # MLflow imports this module while it imports itself, and warns instead of failing where that does not work.
    from mlflow.tracking import get_tracking_uri

    from perennial.registry import mlflow_api
    from perennial.settings import settings

    tracking, artifacts = tracking_uri or get_tracking_uri(), settings().mlflow_artifacts_uri
    mlflow_api.check_listener()
    server = _server(address)
    if server not in [_server(each) for each in (tracking, artifacts) if each]:
        raise PerennialError(
            f"An MLflow experiment keeps its artifacts at {server}, which is not the tracking server"
            f" ({tracking}); neither the login nor anything else was sent there.",
            "If it is yours, set PERENNIAL_MLFLOW_ARTIFACTS_URI to it. Otherwise find out who created the experiment,"
            " and rename it (`mlflow experiments rename`): the next run makes one at the default place.",
        )


def _server(address: str) -> str:
    """Scheme, host and port as the HTTP client reads them: for others, another host may follow a backslash."""
    try:
        parts = parse_url(address)
    except LocationParseError:
        return repr(address)
    return f"{parts.scheme}://{parts.host}:{parts.port or _PORTS.get(parts.scheme or '')}"
