"""Says whether this server can load a version and predict with it: the gate asks before it lets a challenger pass."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

from anyio import CapacityLimiter, to_thread
from mlflow.exceptions import MlflowException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from perennial.errors import BadFeatures, PerennialError, ServiceUnavailable, VersionNotServed
from perennial.feature_store import repository
from perennial.serving import loaded_version, pinned_versions
from perennial.serving.access import AccessControl
from perennial.serving.answers import VersionCheck
from perennial.serving.responses import json_response
from perennial.use_case import UseCase

log = logging.getLogger(__name__)
_NUMBER = re.compile("[1-9][0-9]{0,8}")


class VersionChecks:
    """Loads versions to see whether they could serve, one at a time; none of them is kept.

    Args:
        use_case: Gives a use case that is served, by its name, or raises UnknownUseCase.
        access: Decides on callers.
        check_access: Lets a caller of a use case pass, as for a prediction.
    """

    def __init__(
        self,
        use_case: Callable[[str], UseCase],
        access: AccessControl,
        check_access: Callable[[Request, str | None], Awaitable[Any]],
    ) -> None:
        self._use_case = use_case
        self._access = access
        self._check_access = check_access
        self._loading = CapacityLimiter(1)

    def routes(self) -> list[Route]:
        """All routes."""
        return [Route("/v1/use_cases/{use_case}/versions/{version}/check", self.check, methods=["POST"])]

    async def check(self, request: Request) -> Response:
        """Load a version as if it were to serve, and predict its example; for who may choose who answers."""
        name, version = request.path_params["use_case"], request.path_params["version"]
        await self._check_access(request, name)
        authorization = request.headers.get("authorization", "")
        await to_thread.run_sync(self._access.check_may_pin, authorization, name)
        self._access.check_rate(authorization)
        use_case = self._use_case(name)
        if not _NUMBER.fullmatch(version):
            raise VersionNotServed(
                f"Model {name!r} has no version {version[:40]!r}.", "Versions are numbers from 1 on."
            )
        return json_response(await to_thread.run_sync(_checked, use_case, int(version), limiter=self._loading))


def _checked(use_case: UseCase, number: int) -> VersionCheck:
    """What comes of loading a version; raises only what says nothing about it.

    Raises:
        VersionNotServed: the registry has no such version.
        ServiceUnavailable: the lake or MLflow does not answer, or this machine has no room for the version.
    """
    try:
        version = loaded_version.load(use_case, pinned_versions.entry_of(use_case, number), repository.applied_digest())
        if version.example is None:
            raise PerennialError("It was stored without an example of its inputs.", "Train again.")
        predictions = version.predict(version.example).tolist()
    except (ServiceUnavailable, VersionNotServed):
        raise
    except (BadFeatures, MlflowException, MemoryError, OSError) as error:
        # Of this server, its stores or its machine, not of the version, which another one may serve well.
        log.exception("%s: whether v%d can serve is not known", use_case.name, number)
        problem = f"Whether v{number} of {use_case.name!r} can serve is not known: {type(error).__name__}: {error}"
        raise ServiceUnavailable(problem, "Look into the log of the prediction server.") from error
    except Exception as error:  # Whatever it is, it would be in the way of serving, too.
        log.exception("%s: v%d cannot be loaded, or does not predict", use_case.name, number)
        problem = error.problem if isinstance(error, PerennialError) else f"{type(error).__name__}: {error}"
        return VersionCheck(use_case=use_case.name, model_version=number, problem=problem)
    classes = list(use_case.classes)
    return VersionCheck(use_case=use_case.name, model_version=number, predictions=predictions, classes=classes)
