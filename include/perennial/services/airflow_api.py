"""A client of Airflow's REST API: trigger, follow and clear runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Self
from urllib.parse import quote

import httpx
from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from perennial.dag_names import AWAITING_INPUT, REFUSED
from perennial.errors import InvalidParams, PerennialError, ServiceUnavailable
from perennial.services import listeners, outage
from perennial.services.airflow_records import ApprovalRequest, DagRun, TaskInstance
from perennial.services.credentials import Login, login
from perennial.settings import settings

_API = "/api/v2"
#: How long to wait for a server that does not answer, in seconds.
PATIENCE = 30.0
#: The most runs of all DAGs that are read at once.
_MOST = 1000


class _NoResponse(Exception):
    """No response, or one after which the request should be retried."""


class AirflowClient:
    """A client of one Airflow API server. Calls are retried while the server does not answer.

    Use it as a context manager, or call `close`.

    Args:
        uri: The server's address; None: the configured one.
        access: The login; None: Perennial's own.
        patience: How long to wait for a server that does not answer, in seconds; then ServiceUnavailable is raised.
        tell: For commands that wait for runs: called with a line when the server goes away and when it is back. Once it
            has answered, it is then waited for longer, for `outage.PATIENCE`.
    """

    def __init__(
        self,
        uri: str | None = None,
        access: Login | None = None,
        patience: float = PATIENCE,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.uri = (uri or settings().airflow_uri).rstrip("/")
        self.tell = tell
        self._outage = outage.Outage(tell or (lambda line: None))
        self._has_answered = False
        self._access = access
        self._patience = patience
        self._http = httpx.Client(base_url=self.uri, timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def lost(self) -> float:
        """For how long the server did not answer in all, in seconds."""
        return self._outage.lost

    def health(self) -> dict[str, Any]:
        """Status and latest heartbeat of metadatabase, scheduler, triggerer and dag_processor."""
        return self._call("GET", "/monitor/health").json()

    def trigger(
        self, dag: str, run_id: str, *, partition: str | None = None, conf: dict[str, Any] | None = None
    ) -> DagRun:
        """Start run `run_id` of `dag`, or return it if it already exists: safe to repeat.

        Args:
            dag: The DAG's id.
            run_id: Unique among the DAG's runs.
            partition: The run's partition key; None: it has none.
            conf: The DAG's params that differ from their defaults.

        Raises:
            InvalidParams: The DAG's params do not allow `conf`.
            PerennialError: There is no such DAG.
            ServiceUnavailable: Airflow does not answer.
        """
        body = {"dag_run_id": run_id, "logical_date": None, "partition_key": partition, "conf": conf or {}}
        response = self._call("POST", f"/dags/{quote(dag)}/dagRuns", json=body, expected=(200, 409, 400, 422))
        if response.status_code == 409:
            return self.run(dag, run_id)
        if response.status_code in (400, 422):
            fix = f"See the form of {dag} at {self.uri}/dags/{dag}: it lists each parameter and its range."
            raise InvalidParams(f"Airflow refused the run {run_id!r} of {dag}: {error_detail(response)}", fix)
        return DagRun.from_json(response.json())

    def run(self, dag: str, run_id: str) -> DagRun:
        """The run as it is now.

        Args:
            dag: The DAG's id.
            run_id: The run's id, which is unique only within its DAG.

        Raises:
            PerennialError: there is no such run.
            ServiceUnavailable: Airflow does not answer.
        """
        return DagRun.from_json(self._call("GET", f"/dags/{quote(dag)}/dagRuns/{quote(run_id, safe='')}").json())

    def runs_of_partition(self, partition: str, *, prefix: str = "") -> list[DagRun]:
        """All runs with partition key `partition` of DAGs whose name begins with `prefix`, oldest first.

        Args:
            partition: The whole key; keys that only begin with it do not count.
            prefix: The beginning of the DAGs' ids; empty: of any DAG.
        """
        query = {
            "partition_key_prefix_pattern": partition,
            "dag_id_prefix_pattern": prefix,
            "order_by": "id",
            "limit": 100,
        }
        runs: list[DagRun] = []
        while True:
            page = self._call("GET", "/dags/~/dagRuns", params=query | {"offset": len(runs)}).json()
            runs.extend(map(DagRun.from_json, page["dag_runs"]))
            if len(runs) >= page["total_entries"] or not page["dag_runs"]:
                return [run for run in runs if run.partition == partition]

    def latest_successes(self, dag: str, count: int = 5) -> list[DagRun]:
        """The latest runs of a DAG that succeeded, newest first.

        Args:
            dag: The DAG's id.
            count: The most runs to return.
        """
        query = {"state": "success", "order_by": "-id", "limit": count}
        runs = self._call("GET", f"/dags/{quote(dag)}/dagRuns", params=query).json()["dag_runs"]
        return list(map(DagRun.from_json, runs))

    def runs_of_dag(self, dag: str, *, state: str, prefix: str = "") -> list[DagRun]:
        """All runs of a DAG in `state` whose id begins with `prefix`, newest first.

        An empty list if Airflow does not know the DAG.

        Args:
            dag: The DAG's id.
            state: `queued`, `running`, `success` or `failed`.
            prefix: The beginning of the runs' ids; empty: of any run.
        """
        query = {"state": state, "run_id_prefix_pattern": prefix, "order_by": "-id", "limit": 100}
        runs: list[DagRun] = []
        while True:
            path = f"/dags/{quote(dag)}/dagRuns"
            response = self._call("GET", path, params=query | {"offset": len(runs)}, expected=(200, 404))
            if response.status_code == 404:
                return []
            page = response.json()
            runs.extend(map(DagRun.from_json, page["dag_runs"]))
            if len(runs) >= page["total_entries"] or not page["dag_runs"]:
                return runs

    def runs_in(self, state: str, *, ended_since: datetime | None = None) -> list[DagRun]:
        """The runs of all DAGs in a state, newest first, up to a thousand.

        Args:
            state: As for `runs_of_dag`.
            ended_since: Only those that ended since (UTC).
        """
        query: dict[str, Any] = {"state": state, "order_by": "-id", "limit": 100}
        if ended_since is not None:
            query["end_date_gte"] = ended_since.isoformat()
        runs: list[DagRun] = []
        while len(runs) < _MOST:
            page = self._call("GET", "/dags/~/dagRuns", params=query | {"offset": len(runs)}).json()
            runs.extend(map(DagRun.from_json, page["dag_runs"]))
            if len(runs) >= page["total_entries"] or not page["dag_runs"]:
                break
        return runs

    def newest_runs(self, dag: str, partition: str | None = None, count: int = 20) -> list[DagRun]:
        """The newest runs of a DAG, newest first; none if Airflow does not know it.

        Args:
            dag: The DAG's id.
            partition: Only those with this partition key.
            count: The most runs to return.
        """
        query: dict[str, Any] = {"order_by": "-id", "limit": count}
        if partition is not None:
            query["partition_key_prefix_pattern"] = partition
        response = self._call("GET", f"/dags/{quote(dag)}/dagRuns", params=query, expected=(200, 404))
        runs = [] if response.status_code == 404 else response.json()["dag_runs"]
        return [run for run in map(DagRun.from_json, runs) if partition is None or run.partition == partition]

    def find_run(self, dag: str, run_id: str) -> DagRun | None:
        """The run as it is now; None: there is none.

        Args:
            dag: The DAG's id.
            run_id: The run's id.
        """
        path = f"/dags/{quote(dag)}/dagRuns/{quote(run_id, safe='')}"
        response = self._call("GET", path, expected=(200, 404))
        return None if response.status_code == 404 else DagRun.from_json(response.json())

    def was_refused(self, run: DagRun) -> bool:
        """Whether a task of a failed run refused what a person asked for: see `dag_names.REFUSED`."""
        path = f"/dags/{quote(run.dag)}/dagRuns/{quote(run.id, safe='')}/taskInstances/~/xcomEntries"
        response = self._call("GET", path, params={"xcom_key": REFUSED, "limit": 1}, expected=(200, 404))
        return response.status_code == 200 and bool(response.json()["xcom_entries"])

    def awaiting_approval(self) -> list[ApprovalRequest]:
        """The requests for approval that wait for a person, of all DAGs, oldest first."""
        query = {"response_received": False, "state": AWAITING_INPUT, "order_by": "created_at", "limit": 1000}
        details = self._call("GET", "/dags/~/dagRuns/~/hitlDetails", params=query).json()["hitl_details"]
        return list(map(ApprovalRequest.from_json, details))

    def approval_of(self, dag: str, run_id: str) -> ApprovalRequest | None:
        """The newest request for approval of a run; None: it made none, or there is no such run.

        Args:
            dag: The DAG's id.
            run_id: The run's id.
        """
        path = f"/dags/{quote(dag)}/dagRuns/{quote(run_id, safe='')}/hitlDetails"
        response = self._call("GET", path, params={"order_by": "-created_at", "limit": 1}, expected=(200, 404))
        details = [] if response.status_code == 404 else response.json()["hitl_details"]
        return next(map(ApprovalRequest.from_json, details), None)

    def task_instances(self, run: DagRun) -> list[TaskInstance]:
        """The tasks of a run."""
        path = f"/dags/{quote(run.dag)}/dagRuns/{quote(run.id, safe='')}/taskInstances"
        return [
            TaskInstance.from_json(task)
            for task in self._call("GET", path, params={"limit": 1000}).json()["task_instances"]
        ]

    def log_tail(self, run: DagRun, task: TaskInstance, lines: int = 12) -> list[str]:
        """Why a task failed: its exceptions' messages, or if there are none, the last lines of its log; [] without one.

        Args:
            run: The run of the task.
            task: The task; the log is that of its latest attempt.
            lines: The largest number of lines to return, counted from the end.
        """
        path = (
            f"/dags/{quote(run.dag)}/dagRuns/{quote(run.id, safe='')}"
            f"/taskInstances/{quote(task.task, safe='')}/logs/{task.attempt}"
        )
        query = {"map_index": task.map_index, "full_content": True}
        response = self._call("GET", path, params=query, expected=(200, 404))
        if response.status_code == 404:
            return []
        messages = [message for message in response.json()["content"] if isinstance(message, dict)]
        if raised := [error for message in messages for error in message.get("error_detail") or ()]:
            texts = [f"{error.get('exc_type')}: {error.get('exc_value')}" for error in raised]
        else:  # Lines that begin with `::` are markers by which Airflow's page folds the log.
            texts = [event for message in messages if not (event := str(message.get("event", ""))).startswith("::")]
        return "\n".join(texts).splitlines()[-lines:]

    def clear(self, run: DagRun, *, only_failed: bool = True) -> DagRun:
        """Run the failed tasks of a finished run again, and the tasks after them.

        Args:
            run: The finished run.
            only_failed: False: run all of its tasks again.

        Returns:
            The run after clearing.
        """
        path = f"/dags/{quote(run.dag)}/dagRuns/{quote(run.id, safe='')}/clear"
        self._call("POST", path, json={"dry_run": False, "only_failed": only_failed})
        return self.run(run.dag, run.id)

    def dags(self, prefix: str = "") -> dict[str, bool]:
        """The names of the DAGs that Airflow knows and runs, and whether each is paused."""
        query = {"dag_id_prefix_pattern": prefix, "limit": 1000}
        return {dag["dag_id"]: dag["is_paused"] for dag in self._call("GET", "/dags", params=query).json()["dags"]}

    def unpause(self, dag: str) -> None:
        """Let Airflow start the DAG's runs."""
        self._call("PATCH", f"/dags/{quote(dag)}", json={"is_paused": False})

    def pause(self, dag: str) -> None:
        """Keep Airflow from starting runs of the DAG; existing runs stay as they are."""
        self._call("PATCH", f"/dags/{quote(dag)}", json={"is_paused": True})

    def import_errors(self) -> dict[str, str]:
        """DAG files that could not be read, and why."""
        errors = self._call("GET", "/importErrors", params={"limit": 100}).json()["import_errors"]
        return {error["filename"]: error["stack_trace"] for error in errors}

    def run_url(self, run: DagRun) -> str:
        """The page of a run in Airflow, for people."""
        where = settings()
        place = where.airflow_public_uri if self.uri == where.airflow_uri.rstrip("/") else self.uri
        return f"{place.rstrip('/')}/dags/{run.dag}/runs/{quote(run.id, safe='')}"

    def _call(self, method: str, path: str, *, expected: tuple[int, ...] = (200,), **request: Any) -> httpx.Response:
        """One request, with a token, retried while the server does not answer.

        All our requests may be repeated: a second trigger of the same run id returns 409, and clearing or unpausing
        twice has no further effect.
        """
        patience = max(self._patience, outage.PATIENCE) if self._waits_long else self._patience

        def away(state: RetryCallState) -> None:
            why = state.outcome.exception() if state.outcome else None
            self._outage.away(f"Airflow at {self.uri} does not answer ({why})", patience)

        retrying = Retrying(
            retry=retry_if_exception_type(_NoResponse),
            stop=stop_after_delay(patience),
            wait=wait_random_exponential(multiplier=0.2, max=3),
            before_sleep=away,
        )
        try:
            response: httpx.Response = retrying(self._once, method, f"{_API}{path}", **request)
        except RetryError as error:
            raise ServiceUnavailable(
                f"Airflow at {self.uri} did not answer within {patience:.0f} s: {error.last_attempt.exception()}",
                "Start it with `perennial up`, or set PERENNIAL_AIRFLOW_URI to where it runs.",
            ) from error
        self._has_answered = True
        self._outage.back(f"Airflow at {self.uri} answers again")
        if response.status_code not in expected:
            raise self._unexpected(response)
        return response

    @property
    def _waits_long(self) -> bool:
        return self.tell is not None and self._has_answered

    def _once(self, method: str, path: str, **request: Any) -> httpx.Response:
        listeners.check_ours(self.uri)  # Before each request: a token is as good as the login.
        try:
            if "Authorization" not in self._http.headers:
                self._log_in()
            response = self._http.request(method, path, **request)
            if response.status_code == 401:  # The token has expired.
                self._log_in()
                response = self._http.request(method, path, **request)
        except httpx.TransportError as error:
            raise _NoResponse(f"{type(error).__name__}: {error}") from error
        # Refused again, with a new token: a server that accepted the login before is being started again.
        if response.status_code >= 500 or (response.status_code == 401 and self._waits_long):
            raise _NoResponse(f"{response.status_code} {error_detail(response)}")
        return response

    def _log_in(self) -> None:
        access = self._access or login()
        response = self._http.post("/auth/token", json={"username": access.user, "password": access.password})
        if response.status_code >= 500 or (response.status_code == 401 and self._waits_long):
            raise _NoResponse(f"{response.status_code} {error_detail(response)}")
        if response.status_code >= 400:
            raise PerennialError(
                f"Airflow at {self.uri} refused the login of user {access.user!r}: {error_detail(response)}",
                "It may belong to another PERENNIAL_HOME, or set PERENNIAL_USER and PERENNIAL_PASSWORD.",
            )
        try:
            token = response.json()["access_token"]
        except (ValueError, KeyError, TypeError) as error:
            raise _NoResponse("what answers is not Airflow") from error
        self._http.headers["Authorization"] = f"Bearer {token}"

    def _unexpected(self, response: httpx.Response) -> PerennialError:
        call = f"{response.request.method} {response.request.url.path}"
        fix = "Check the name, and whether its DAG file was read: `perennial status` and Airflow's page show both."
        return PerennialError(f"Airflow answered {response.status_code} to {call}: {error_detail(response)}", fix)


def error_detail(response: httpx.Response, otherwise: str | None = None) -> str:
    """Airflow's error message in one line.

    Args:
        response: A response with an error status.
        otherwise: Returned if the response has no `detail`; None: its first 300 characters are.
    """
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return response.text[:300] if otherwise is None else otherwise
    if isinstance(detail, dict):  # An error of Airflow's database, with the statement and where to look for it.
        return str(detail.get("reason") or detail.get("message") or detail)[:300]
    if isinstance(detail, list):  # One validation error per field.
        return "; ".join(f"{'.'.join(map(str, item.get('loc', ())))}: {item.get('msg')}" for item in detail)
    return str(detail).split("\n\nFailed validating")[0]  # The rest is the schema, in Python's notation.
