"""Alerting rules for Prometheus: what of the metrics needs a person, how soon, and where that is looked at.

Rules are about every use case that is scraped, also one that is added later. Only how long something may take depends
on the cadence: those rules are made for each use case that there is.

A rule takes the highest value of all API servers, and adds the use case's owner as a label, by which Alertmanager can
route. An incident is told by one alert: what has a metric and a rule of its own here is left out of the rule about
incidents, and is noticed also while nothing looks for incidents.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from perennial.alerts.incidents import Reason
from perennial.telemetry import catalogue as known
from perennial.telemetry import patience
from perennial.telemetry.rule import Rule, highest, owned
from perennial.telemetry.scraping import PIPELINES, SERVING
from perennial.use_case import UseCase

#: Incidents whose facts are metrics with rules of their own.
_TOLD: tuple[Reason, ...] = (
    *(
        "alarm",
        "quarantine",
        "overdue",
        "run-failed",
        "run-stuck",
        "approval",
        "serving",
        "stale-features",
        "declaration",
    ),
)


#: PromQL: answered requests a second, and those of them that took a second at most.
_ANSWERED = "sum by (use_case) (rate(perennial_serving_seconds_count[5m]))"
_WITHIN = 'sum by (use_case) (rate(perennial_serving_seconds_bucket{le="1.0"}[5m]))'
#: About all use cases, and the installation.
OF_ALL = [
    Rule(
        "PerennialNotScraped",
        f'up{{job=~"{PIPELINES}|{SERVING}"}} == 0',
        "5m",
        "critical",
        "{{ $labels.job }} at {{ $labels.instance }} does not answer with metrics",
        "See whether the server runs, and whether its token is valid: `perennial token list`.",
    ),
    Rule(
        "PerennialAirflowDatabase",
        f"max({known.AIRFLOW_PROBLEM.name}) == 1",
        "5m",
        "critical",
        "Airflow's API server cannot read its database",
        "See the log of Airflow's API server, and whether PostgreSQL runs.",
    ),
    Rule(
        "PerennialUseCaseProblem",
        f"{highest(known.PROBLEM)} == 1",
        "5m",
        "critical",
        "{{ $labels.use_case }}: its declaration or its records cannot be read",
        "Its page says what is wrong.",
    ),
    Rule(
        "PerennialIncident",
        owned(
            f"max by (use_case, reason, severity)"
            f' ({known.INCIDENTS.name}{{use_case!="", reason!~"{"|".join(_TOLD)}"}}) > 0'
        ),
        "0m",
        None,
        "{{ $labels.use_case }}: {{ $value }} incidents of {{ $labels.reason }} are open",
        "`perennial incidents` says what happened and what to do.",
    ),
    Rule(
        "PerennialInstallationIncident",
        f'max by (reason, severity) ({known.INCIDENTS.name}{{use_case="", reason!~"{"|".join(_TOLD)}"}}) > 0',
        "0m",
        None,
        "The installation has {{ $value }} incidents of {{ $labels.reason }}",
        "`perennial incidents` says what happened and what to do.",
    ),
    Rule(
        "PerennialRunFailed",
        owned(f"{highest(known.FAILED_RUNS, 'pipeline')} > 0"),
        "0m",
        "critical",
        "{{ $labels.use_case }}: {{ $value }} runs of {{ $labels.pipeline }} failed",
        "The log of the failed task says what to fix; then clear it.",
    ),
    Rule(
        "PerennialAlarm",
        owned(f"{highest(known.OPEN_ALARMS)} > 0"),
        "0m",
        "warning",
        "{{ $labels.use_case }}: {{ $value }} alarms of its monitor are open",
        "Its page names the cause, and what would close them.",
    ),
    Rule(
        "PerennialReviewPending",
        owned(f"{highest(known.PENDING_REVIEW)} > 0"),
        "1h",
        "warning",
        "{{ $labels.use_case }}: {{ $value }} quarantined rows or batches are pending review",
        "Release or discard them: `perennial quarantine list {{ $labels.use_case }}`.",
    ),
    Rule(
        "PerennialApprovalPending",
        owned(f"{highest(known.PENDING_APPROVALS)} > 0"),
        "15m",
        "warning",
        "{{ $labels.use_case }}: a promotion waits for approval",
        "Approve or reject it on its page.",
    ),
    Rule(
        "PerennialOnlineStale",
        owned(f"{highest(known.ONLINE_STALE, 'view')} == 1"),
        "0m",
        "warning",
        "{{ $labels.use_case }}: what is served of {{ $labels.view }} is older than its freshness allows",
        "See whether its source stopped, and whether features ran.",
    ),
    Rule(
        "PerennialOnlineDiffers",
        owned(f"{highest(known.ONLINE_DIFFERENCES, 'view')} > 0"),
        "0m",
        "critical",
        "{{ $labels.use_case }}: {{ $value }} values online of {{ $labels.view }} differ from the lake's",
        "`perennial parity {{ $labels.use_case }}` lists them.",
    ),
    Rule(
        "PerennialPipelineMissing",
        owned(f"{highest(known.PIPELINE_MISSING, 'pipeline')} == 1"),
        "15m",
        "critical",
        "{{ $labels.use_case }}: Airflow does not know its DAG {{ $labels.pipeline }}",
        "See Airflow's import errors, and whether its DAG processor runs.",
    ),
    Rule(
        "PerennialPipelinePaused",
        owned(f"{highest(known.PIPELINE_PAUSED, 'pipeline')} == 1"),
        "1h",
        "warning",
        "{{ $labels.use_case }}: its DAG {{ $labels.pipeline }} is paused",
        "Unpause it, or retire the use case.",
    ),
]

#: About prediction servers.
OF_SERVING = [
    Rule(
        "PerennialServingProblem",
        owned("max by (use_case) (perennial_serving_problem) == 1"),
        "5m",
        "critical",
        "{{ $labels.use_case }}: a prediction server could not load the ledger's version",
        "Its log says why; the version before goes on serving.",
    ),
    Rule(
        "PerennialServingAnotherVersion",
        owned(
            "max by (use_case, instance) (perennial_serving_model_version)"
            f" != on (use_case) group_left () {highest(known.CHAMPION)}"
        ),
        "10m",
        "warning",
        "{{ $labels.use_case }}: {{ $labels.instance }} serves v{{ $value }}, which is not the champion",
        "See the log of that prediction server.",
    ),
    Rule(
        "PerennialServingErrors",
        owned('sum by (use_case) (rate(perennial_serving_requests_total{status=~"5.."}[5m])) > 0'),
        "10m",
        "critical",
        "{{ $labels.use_case }}: {{ $value | humanize }} requests for predictions a second fail",
        "See the log of the prediction server, and what it needs: online store, PostgreSQL, MLflow.",
    ),
    Rule(
        "PerennialServingSlow",
        owned(f"1 - {_WITHIN} / {_ANSWERED} > 0.05"),
        "10m",
        "warning",
        "{{ $labels.use_case }}: {{ $value | humanizePercentage }} of the predictions take longer than 1 s",
        "See whether the machine or the online store is overloaded; more processes: `PERENNIAL_SERVING_WORKERS`.",
    ),
    Rule(
        "PerennialServingLogWaits",
        "max by (instance) (perennial_serving_log_oldest_seconds) > 900",
        "0m",
        "warning",
        "{{ $labels.instance }}: predictions are not in the lake after {{ $value | humanizeDuration }}",
        "See the log of that prediction server: the lake does not take them.",
    ),
]


def groups(use_cases: Sequence[UseCase], pages: str) -> dict[str, Any]:
    """All rules, as the content of a file that Prometheus reads.

    Args:
        use_cases: Those that there are, without the retired ones.
        pages: The address of Perennial's first page.
    """
    named = {"perennial": OF_ALL, "perennial-serving": OF_SERVING}
    named |= {f"perennial-{use_case.name}": patience.of_use_case(use_case) for use_case in use_cases}
    return {"groups": [_group(name, rules, pages) for name, rules in named.items()]}


def _group(name: str, rules: Iterable[Rule], pages: str) -> dict[str, Any]:
    return {"name": name, "rules": [rule.as_yaml(pages) for rule in rules]}
