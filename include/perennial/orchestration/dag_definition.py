"""What the DAGs of all pipelines share: the use cases to make them for, and the arguments of `@dag`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule, get_parsing_context

from perennial import dag_names, discovery
from perennial.errors import PerennialError, ServiceUnavailable
from perennial.orchestration.bundles import use_project_of_bundle
from perennial.orchestration.run_costs import CALLBACKS
from perennial.settings import settings
from perennial.use_case import UseCase

#: A service that does not answer is worth another try; what a person has to fix is not.
RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(ServiceUnavailable, RetryAction.RETRY, reason="a service does not answer"),
        RetryRule(PerennialError, RetryAction.FAIL, reason="needs a person: see the error for the fix"),
    ]
)


def use_cases() -> Iterator[UseCase]:
    """The use cases whose DAGs this process needs: all of them in the DAG processor, one in a running task.

    A use case that cannot be loaded has no DAGs then, and does not keep the others from having theirs: see
    `check_use_cases`. Neither has one that is retired. They are those of the bundle that the DAG file is of.
    """
    use_project_of_bundle()
    dag_id = get_parsing_context().dag_id
    if dag_id is not None:
        yield discovery.load(dag_names.use_case_name(dag_id))
        return
    loaded, _ = discovery.load_all()
    yield from (use_case for use_case in loaded if discovery.retirement(use_case.name) is None)


def check_use_cases() -> None:
    """Fail in the DAG processor, with the reasons, if a use case cannot be loaded: Airflow then shows an import error.

    Raises:
        PerennialError: at least one cannot be loaded, and has no DAGs because of that.
    """
    if get_parsing_context().dag_id is not None:
        return
    use_project_of_bundle()
    _, broken = discovery.load_all()
    if broken:
        raise PerennialError(
            f"No DAGs of {', '.join(broken)}: " + " ".join(error.problem for error in broken.values()),
            " ".join(dict.fromkeys(error.fix for error in broken.values())),
        )


def dag_arguments(use_case: UseCase, pipeline: str, doc: str | None, **more: Any) -> dict[str, Any]:
    """The arguments of `@dag` that every pipeline shares: id, owner, docs with triage notes, retries, tags.

    Args:
        use_case: Whose pipeline it is.
        pipeline: Its name in `perennial.dag_names`; the DAG is called `<use case>.<pipeline>`.
        doc: What the pipeline does; the DAG file's docstring.
        more: Further arguments, which take precedence.
    """
    end = use_case.cadence.partition(use_case.end).start if use_case.end else None
    return {
        "dag_id": dag_names.dag_id(use_case.name, pipeline),
        "description": f"{use_case.title}: {pipeline}",
        "doc_md": _docs(use_case, doc or ""),
        "tags": ["perennial", use_case.name, pipeline, *use_case.tags],
        "start_date": use_case.first.start,
        "end_date": end,
        "catchup": False,
        "max_active_runs": 4,
        "default_args": {
            "owner": use_case.owner,
            "retries": 2,
            "retry_delay": timedelta(seconds=20),
            "retry_exponential_backoff": 2.0,
            "retry_policy": RETRY_POLICY,
            "execution_timeout": timedelta(hours=6),
            **CALLBACKS,
        },
        **more,
    }


def alerts_interval() -> timedelta | None:
    """How often incidents are looked for; None: never."""
    use_project_of_bundle()
    minutes = settings().alerts_every
    return timedelta(minutes=minutes) if minutes else None


def alerts_arguments(doc: str | None) -> dict[str, Any]:
    """The arguments of `@dag` of the DAG that looks for incidents, which belongs to no use case.

    Args:
        doc: What it does; the DAG file's docstring.
    """
    return {
        "dag_id": dag_names.ALERTS,
        "description": "Incidents of all use cases and of the installation",
        "doc_md": f"{(doc or '').strip()}\n\n**When a run fails.** Read its log: the next run does the same again.",
        "tags": ["perennial", dag_names.ALERTS],
        "start_date": datetime(2026, 1, 1, tzinfo=UTC),
        "catchup": False,
        "max_active_runs": 1,
        "default_args": {
            "owner": "perennial",
            "retries": 1,
            "retry_delay": timedelta(seconds=20),
            "retry_policy": RETRY_POLICY,
            "execution_timeout": timedelta(minutes=10),
        },
    }


def _docs(use_case: UseCase, doc: str) -> str:
    until = f", before {use_case.end}" if use_case.end else ""
    return f"""{doc.strip()}

**{use_case.title}.** {use_case.description}

- **Owner:** {use_case.owner}
- **Partitions:** {use_case.cadence}, named like `{use_case.first.key}`, from {use_case.start}{until}
- **Defined in:** `include/use_cases/{use_case.name}/`
- **Page:** [{use_case.name} in Perennial](plugin/perennial/perennial/use_cases/{use_case.name})

**When a run fails.** {use_case.triage}
"""
