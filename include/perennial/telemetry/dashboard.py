"""A dashboard for Grafana: all use cases in one table, and what each did over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perennial.telemetry import catalogue as known
from perennial.telemetry.catalogue import Metric

#: The version of Grafana's format of dashboards, which later Grafanas read too.
_SCHEMA = 39
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_CHOSEN = 'use_case=~"$use_case"'
_WIDTH = 24


def dashboard(names: Sequence[str], marker: str) -> dict[str, Any]:
    """The dashboard as Grafana imports it.

    Args:
        names: The use cases that there are, all of which are chosen at first.
        marker: Its description.
    """
    return {
        "uid": "perennial",
        "title": "Perennial",
        "description": marker,
        "tags": ["perennial"],
        "schemaVersion": _SCHEMA,
        "timezone": "utc",
        "refresh": "1m",
        "time": {"from": "now-7d", "to": "now"},
        "templating": {"list": [_datasource(), _use_cases(names)]},
        "panels": _laid_out([*_counts(), _table(), *_over_time()]),
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _use_cases(names: Sequence[str]) -> dict[str, Any]:
    query = f"label_values({known.PROBLEM.name}, use_case)"
    return {
        "name": "use_case",
        "label": "Use case",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": "use_cases"},
        "definition": query,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "current": {"text": ["All"], "value": ["$__all"]},
        "options": [{"text": name, "value": name, "selected": False} for name in names],
    }


def _counts() -> list[dict[str, Any]]:
    """What needs a person: a number each, red where there is any."""
    told = [
        ("Open incidents", known.INCIDENTS),
        ("Open alarms", known.OPEN_ALARMS),
        ("Failed runs", known.FAILED_RUNS),
        ("Overdue partitions", known.OVERDUE),
        ("Pending review", known.PENDING_REVIEW),
        ("Pending approvals", known.PENDING_APPROVALS),
    ]
    return [_count(title, f"sum({_highest(metric)}) or vector(0)") for title, metric in told]


def _count(title: str, query: str) -> dict[str, Any]:
    steps = [{"color": "green", "value": None}, {"color": "red", "value": 1}]
    return {
        "type": "stat",
        "title": title,
        "gridPos": {"w": 4, "h": 4},
        "datasource": _SOURCE,
        "targets": [_target("A", query, is_instant=True)],
        "fieldConfig": {
            "defaults": {"thresholds": {"mode": "absolute", "steps": steps}, "color": {"mode": "thresholds"}},
            "overrides": [],
        },
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "none"},
    }


def _table() -> dict[str, Any]:
    """A row for each use case, as on Perennial's first page."""
    columns = [
        ("Champion", _highest(known.CHAMPION)),
        ("Champion for, s", f"time() - {_highest(known.CHAMPION_SINCE)}"),
        ("Better than expected by", _highest(known.IMPROVEMENT)),
        ("Drift score", _highest(known.DRIFT_SCORE)),
        ("Labelled", _highest(known.LABEL_COVERAGE)),
        ("Loaded until, s ago", f"time() - {_highest(known.LOADED_UNTIL)}"),
        ("Overdue", _highest(known.OVERDUE)),
        ("Open alarms", _highest(known.OPEN_ALARMS)),
        ("Pending review", _highest(known.PENDING_REVIEW)),
    ]
    targets = [
        _target(letter, query, is_instant=True) | {"format": "table"}
        for letter, (_, query) in zip("ABCDEFGHI", columns, strict=True)
    ]
    names = {f"Value #{letter}": title for letter, (title, _) in zip("ABCDEFGHI", columns, strict=True)}
    lengths = [title for title, _ in columns if title.endswith((", s", ", s ago"))]
    return {
        "type": "table",
        "title": "Use cases",
        "gridPos": {"w": _WIDTH, "h": 9},
        "datasource": _SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": {}, "overrides": [_unit_of(title, "s") for title in lengths]},
        "transformations": [
            {"id": "joinByField", "options": {"byField": "use_case", "mode": "outer"}},
            {
                "id": "organize",
                "options": {
                    "excludeByName": {f"Time {number}": True for number in range(1, len(columns) + 1)} | {"Time": True},
                    "renameByName": {"use_case": "Use case", **names},
                },
            },
        ],
    }


def _unit_of(column: str, unit: str) -> dict[str, Any]:
    return {
        "matcher": {"id": "byName", "options": column},
        "properties": [{"id": "unit", "value": unit}],
    }


def _over_time() -> list[dict[str, Any]]:
    production = {
        "{{use_case}} {{metric}}": _highest(known.PRODUCTION, "metric"),
        "{{use_case}} expected": _highest(known.EXPECTED, "metric"),
    }
    rows = {
        "{{use_case}} loaded": _highest(known.LOADED_ROWS),
        "{{use_case}} quarantined": _highest(known.QUARANTINED_ROWS),
    }
    served = f"sum by (use_case) (rate(perennial_serving_predictions_total{{{_CHOSEN}}}[5m]))"
    buckets = f"sum by (use_case, le) (rate(perennial_serving_seconds_bucket{{{_CHOSEN}}}[5m]))"
    return [
        _lines("Production performance and what was expected", "none", production),
        _lines("Drift score and share of labels", "percentunit", _each(known.DRIFT_SCORE, known.LABEL_COVERAGE)),
        _lines(
            "Duration of the newest run", "s", {"{{use_case}} {{pipeline}}": _highest(known.RUN_DURATION, "pipeline")}
        ),
        _lines("Rows of the newest partition", "short", rows),
        _lines("How long ago the newest partition ended", "s", {"{{use_case}}": _highest(known.FRESHNESS_LAG)}),
        _lines(
            "Online: how far the newest value lags behind",
            "s",
            {"{{use_case}} {{view}}": _highest(known.ONLINE_LAG, "view")},
        ),
        _lines("Version in production", "none", {"{{use_case}}": _highest(known.CHAMPION)}),
        _lines("Active runs, requests for retraining", "short", _each(known.ACTIVE_RUNS, known.OPEN_REQUESTS)),
        _lines("Predictions on request a second", "short", {"{{use_case}}": served}),
        _lines("Answered within, 99%", "s", {"{{use_case}}": f"histogram_quantile(0.99, {buckets})"}),
    ]


def _each(*metrics: Metric) -> dict[str, str]:
    """Lines of several metrics, each named by its own."""
    words = (metric.name.removeprefix("perennial_").removesuffix("_ratio").replace("_", " ") for metric in metrics)
    return {f"{{{{use_case}}}} {word}": _highest(metric) for word, metric in zip(words, metrics, strict=True)}


def _lines(title: str, unit: str, lines: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "timeseries",
        "title": title,
        "gridPos": {"w": _WIDTH // 2, "h": 8},
        "datasource": _SOURCE,
        "targets": [
            _target(letter, query) | {"legendFormat": legend}
            for letter, (legend, query) in zip("ABCD", lines.items(), strict=False)
        ],
        "fieldConfig": {"defaults": {"unit": unit, "custom": {"showPoints": "auto"}}, "overrides": []},
    }


def _highest(metric: Metric, *labels: str) -> str:
    """PromQL: of all API servers, and of the use cases that are chosen."""
    if metric is known.INCIDENTS:
        return f"max by (use_case, reason, severity) ({metric.name}{{{_CHOSEN}}})"
    if metric in (known.FAILED_RUNS, known.ACTIVE_RUNS) and not labels:
        return f"sum by (use_case) ({_highest(metric, 'pipeline')})"
    return f"max by ({', '.join(('use_case', *labels))}) ({metric.name}{{{_CHOSEN}}})"


def _target(letter: str, query: str, *, is_instant: bool = False) -> dict[str, Any]:
    return {"refId": letter, "datasource": _SOURCE, "expr": query, "instant": is_instant, "range": not is_instant}


def _laid_out(panels: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The panels from left to right and from top to bottom, numbered."""
    placed, x, y, height = [], 0, 0, 0
    for number, panel in enumerate(panels, start=1):
        size = panel["gridPos"]
        if x + size["w"] > _WIDTH:
            x, y, height = 0, y + height, 0
        placed.append(panel | {"id": number, "gridPos": size | {"x": x, "y": y}})
        x, height = x + size["w"], max(height, size["h"])
    return placed
