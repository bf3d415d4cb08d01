"""Says whether this server can load a version and predict with it: the gate asks before it lets a challenger pass."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from perennial.errors import PerennialError, ServiceUnavailable, UnknownUseCase, VersionNotServed
from perennial.feature_store import repository
from perennial.serving import loaded_version, pinned_versions
from perennial.serving.access import AccessControl
from perennial.serving.responses import json_response
from perennial.use_case import UseCase

log = logging.getLogger(__name__)


class VersionCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What came of loading a version.

    Attributes:
        use_case: The use case's name.
        model_version: The version.
        predictions: What it predicts of the rows that training stored with it as an example of its inputs.
        problem: Why it cannot be loaded, or does not predict; None: it can.
    """

    use_case: str
    model_version: int
    predictions: list[float] = []
    problem: str | None = None


class VersionChecks:
    """Loads versions to see whether they could serve, one at a time; none of them is kept.

    Args:
        use_case: Gives a use case that is served, by its name; None: it is not.
        access: Decides on callers.
        check_access: Lets a caller of a use case pass, as for a prediction.
    """

    def __init__(
        self,
        use_case: Callable[[str], UseCase | None],
        access: AccessControl,
        check_access: Callable[[Request, str | None], Awaitable[Any]],
    ) -> None:
        self._use_case = use_case
        self._access = access
        self._check_access = check_access
        self._loading = CapacityLimiter(1)

    def routes(self) -> list[Route]:
        """All routes."""
        return [Route("/v1/use_cases/{use_case}/versions/{version:int}/check", self.check, methods=["POST"])]

    async def check(self, request: Request) -> Response:
        """Load a version as if it were to serve, and predict its example; for who may choose who answers."""
        name, number = request.path_params["use_case"], request.path_params["version"]
        await self._check_access(request, name)
        authorization = request.headers.get("authorization", "")
        await to_thread.run_sync(self._access.check_may_pin, authorization, name)
        self._access.check_rate(authorization)
        use_case = self._use_case(name)
        if use_case is None:
            raise UnknownUseCase(f"This server does not serve use case {name!r}.", "Start it with that use case.")
        return json_response(await to_thread.run_sync(_checked, use_case, number, limiter=self._loading))


def _checked(use_case: UseCase, number: int) -> VersionCheck:
    """What comes of loading a version; raises only what says nothing about it.

    Raises:
        VersionNotServed: the registry has no such version.
        ServiceUnavailable: the lake or MLflow does not answer.
    """
    try:
        version = loaded_version.load(use_case, pinned_versions.entry_of(use_case, number), repository.applied_digest())
        if version.example is None:
            raise PerennialError("It was stored without an example of its inputs.", "Train again.")
        predictions = [float(each) for each in version.predict(version.example)]
    except (ServiceUnavailable, VersionNotServed):
        raise
    except Exception as error:  # Whatever it is, it would be in the way of serving, too.
        log.exception("%s: v%d cannot be loaded, or does not predict", use_case.name, number)
        problem = error.problem if isinstance(error, PerennialError) else f"{type(error).__name__}: {error}"
        return VersionCheck(use_case=use_case.name, model_version=number, problem=problem)
    return VersionCheck(use_case=use_case.name, model_version=number, predictions=predictions)
