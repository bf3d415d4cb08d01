"""The first page: what it tells of each use case, in which order, and what it says to a newcomer."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import airflow_world
import pyarrow as pa
import pytest

from perennial import discovery, lake
from perennial.lake.schemas import BATCHES, LEDGER, METRICS, VERDICTS
from perennial.pages import fleet, layout
from perennial.pages.airflow_state import AirflowRun, Approval, Pipeline
from perennial.pages.fleet import Fact
from perennial.registry import ledger
from perennial.reporting import overview
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FAILED = AirflowRun("energy.scoring", "r", "failed", "2024-01-01", NOON, NOON, NOON)


def records(use_case: UseCase, **tables: list[dict[str, Any]]) -> overview.Records:
    """Rows by table, of the tables that an overview is made of."""
    return {name: [] for name in overview.TABLES} | tables


def promoted(use_case: UseCase) -> list[dict[str, Any]]:
    """The promotions of v1 and v2."""
    entry = {"partition": "2024-01-02", "action": "promoted", "model_run": "m", "actor": "gate", "reason": "better"}
    return [
        entry
        | {
            "event_id": f"gate:{version}",
            "model_version": version,
            "previous_version": version - 1 or None,
            "effective_from": NOON + timedelta(days=version),
            "evidence": f'{{"metrics": {{"challenger": {{"{use_case.gate.metric}": 0.45}}}}}}',
            "recorded_at": NOON + timedelta(days=version),
        }
        for version in (1, 2)
    ]


def ran(use_case: UseCase, verdict: str = "healthy", **more: Any) -> overview.Overview:
    """A use case of which two days were scored, by v1 and by v2."""
    metric = use_case.gate.metric
    values = [("2024-01-03", 1, 0.5, 0.5), ("2024-01-04", 2, 0.4, 0.6)]
    rows = {
        "batches": [
            {"partition": key, "table": table.name, "rows": 90, "quarantined": 10, "refusal": None}
            for key, *_ in values
            for table in use_case.raw
        ],
        "metrics": [
            {"partition": key, "model_version": of, "role": role, "metric": metric, "value": value, "recorded_at": NOON}
            for key, version, champion, first in values
            for role, of, value in (("champion", version, champion), ("first", 1, first))
        ],
        "verdicts": [
            {
                "partition": "2024-01-04",
                "model_version": 2,
                "verdict": verdict,
                "reason": "",
                "explanation": "so it is",
                "evidence": '{"alarms": ["performance"],'
                ' "drifted": {"few": {"importance": 0.1}, "much": {"importance": 0.9}}}',
                "drifted_columns": 2,
                "label_coverage": 0.9,
                "recorded_at": NOON,
            }
        ],
        "ledger": promoted(use_case),
    }
    return overview.of_records(use_case, records(use_case, **rows | more))


def airflow(name: str, **states: Pipeline) -> dict[str, Pipeline]:
    """All pipelines, known to Airflow and idle but for those given."""
    kinds = ("features", "scoring", "monitoring", "training", "champion")
    return {kind: states.get(kind, Pipeline(kind, f"{name}.{kind}", known=True)) for kind in kinds}


def fact(seen: overview.Overview, **more: Any) -> Fact:
    name = seen.use_case.name
    return Fact(name, seen, **{"pipelines": airflow(name), **more})


def page(*facts: Fact, total: int | None = None) -> str:
    """The page's text, in one line."""
    shown = fleet.view(facts, len(facts) if total is None else total)
    return re.sub(r"\s+", " ", layout.render("fleet", **shown))


def test_a_row_shows_champion_metrics_drift_and_quarantine(energy: UseCase) -> None:
    seen = ran(energy)
    assert seen.deployment is not None
    assert seen.deployment.version == 2
    assert seen.performance == overview.ProductionPerformance(
        "2024-01-04", 2, 0.4, 0.45, pytest.approx(0.05), is_alarm=False
    )
    text = page(fact(seen))
    for expected in ("0.4000", "expected 0.4500", "0.0500 better", "90% of 2024-01-04 labelled", "10% quarantined"):
        assert expected in text
    assert text.index("<code>much</code>") < text.index("<code>few</code>")
    assert 'href="/perennial/use_cases/energy/versions/2"' in text


def test_a_metric_far_below_the_expected_is_called_worse(energy: UseCase) -> None:
    worse = ran(
        energy,
        "alarm",
        metrics=[
            {
                "partition": "2024-01-04",
                "model_version": 2,
                "role": "champion",
                "metric": energy.gate.metric,
                "value": 0.75,
            }
            | {"recorded_at": NOON}
        ],
    )
    assert worse.performance is not None
    assert worse.performance.is_alarm
    assert "0.3000 worse" in page(fact(worse))


def test_a_closed_alarm_is_a_warning_and_says_why(energy: UseCase) -> None:
    rejected = {"partition": "2024-01-04", "action": "rejected", "model_run": "m", "actor": "gate", "reason": "no"}
    decided = [
        *promoted(energy),
        rejected
        | {"event_id": "gate:3", "model_version": 3, "previous_version": 2, "effective_from": NOON}
        | {"evidence": "{}", "recorded_at": NOON + timedelta(days=9)},
    ]
    closed = ran(energy, "alarm", ledger=decided)
    assert closed.performance is not None
    assert not closed.performance.is_alarm
    shown = fleet.view([fact(closed)], 1)
    assert ([row.kind for row in shown["rows"]], shown["alarms"]) == (["warning"], 0)
    assert "alarm, closed" in page(fact(closed))
    assert "no model shown to be better" in page(fact(closed))


def test_an_open_alarm_names_the_act(energy: UseCase) -> None:
    text = page(fact(ran(energy, "alarm")))
    assert '<span class="badge alarm">alarm</span>' in text
    assert "cause not known yet: start one: perennial trigger energy training" in text


def test_use_cases_that_need_a_person_come_first_then_alarms(energy: UseCase) -> None:
    def named(name: str) -> UseCase:
        return energy.model_copy(update={"name": name})

    asks = Approval(FAILED, "approve", -1, "?", "", NOON)
    facts = [
        fact(ran(named("a_healthy"))),
        fact(ran(named("b_warning"), "warning")),
        fact(ran(named("c_alarm"), "alarm")),
        fact(ran(named("d_asks")), approvals=[asks]),
    ]
    shown = fleet.view(facts, 4)
    assert [row.name for row in shown["rows"]] == ["d_asks", "c_alarm", "b_warning", "a_healthy"]
    assert (shown["alarms"], shown["kinds"]["action"]) == (1, 1)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"approvals": [Approval(FAILED, "approve", -1, "?", "", NOON)]}, "approve or reject a promotion"),
        (
            {
                "pipelines": airflow(
                    "energy", scoring=Pipeline("scoring", "energy.scoring", known=True, failed=(FAILED,))
                )
            },
            "scoring failed for 2024-01-01",
        ),
        (
            {
                "pipelines": airflow(
                    "energy", scoring=Pipeline("scoring", "energy.scoring", known=True, failed=(FAILED, FAILED))
                )
            },
            "scoring failed for 2 partitions",
        ),
        (
            {"pipelines": airflow("energy", training=Pipeline("training", "energy.training", known=True, paused=True))},
            "unpause training",
        ),
        (
            {"pipelines": airflow("energy", features=Pipeline("features", "energy.features"))},
            "Airflow does not know features",
        ),
    ],
)
def test_what_needs_action_links_to_its_page(energy: UseCase, more: dict[str, Any], said: str) -> None:
    assert re.search(f"<a[^>]*>{said}</a>", page(fact(ran(energy), **more)))


def test_quarantine_links_to_its_partition_or_to_the_use_case(energy: UseCase) -> None:
    def link(*waiting: int) -> str:
        seen = ran(energy)
        last = seen.status.partitions[-len(waiting) :]
        partitions = [replace(one, waiting=many) for one, many in zip(last, waiting, strict=True)]
        seen = replace(seen, status=replace(seen.status, partitions=tuple(partitions)))
        (links,) = re.findall(r'href="([^"]*)"[^>]*>(review[^<]*quarantined[^<]*)<', page(fact(seen)))
        return " ".join(links)

    assert link(3, 0).endswith(
        "use_cases/energy/partitions/2024-01-03/quarantine review 3 quarantined rows and batches"
    )
    assert link(3, 2).endswith("use_cases/energy review 5 quarantined rows and batches in 2 partitions")


def test_a_pause_waits_until_it_ends(energy: UseCase) -> None:
    seen = ran(energy)
    pause = ledger.Pause(NOON, NOON + timedelta(days=1), "ada", "r")
    paused = replace(seen, status=replace(seen.status, pause=pause))
    assert "promotion is paused" in page(fact(overview._at(NOON, paused)))
    assert "promotion is paused" not in page(fact(overview._at(NOON + timedelta(days=1), paused)))


def test_partitions_become_due_over_time_until_the_last_one(energy: UseCase) -> None:
    endless = energy.model_copy(update={"end": None})
    arrived = endless.cadence.partition("2024-01-04")

    def behind(use_case: UseCase, now: datetime) -> int | None:
        latest = overview._at(now, ran(use_case)).latest_batch
        return latest.overdue if latest else -1

    assert behind(endless, arrived.end) == 0
    assert behind(endless, arrived.next.end) == 1
    assert behind(endless, arrived.end + timedelta(days=1000)) == overview.MAX_OVERDUE
    assert behind(energy.model_copy(update={"end": arrived.next.key}), arrived.end + timedelta(days=9)) is None


def test_an_unreadable_declaration_is_a_row_beside_the_others(energy: UseCase) -> None:
    text = page(fact(ran(energy)), Fact("broken", None, "use_case.py, line 3: no", airflow("broken")))
    assert "use_case.py, line 3: no" in text
    assert "0.4000" in text


def test_chart_starts_at_first_metric_with_a_colour_per_version(energy: UseCase) -> None:
    (row,) = fleet.view([fact(ran(energy))], 1)["rows"]
    assert row.chart is not None
    assert row.chart["x"] == ["2024-01-03", "2024-01-04"]
    assert [one["values"] for one in row.chart["series"]] == [[0.5, 0.6], [0.5, 0.4]]
    assert row.chart["series"][1]["colours"] == ["--v0", "--v1"]


def test_no_use_case_at_all_says_how_to_make_one() -> None:
    assert "perennial new NAME --data" in page(total=0)


def test_without_any_permission_no_name_is_shown() -> None:
    text = page(total=2)
    assert "your role in Airflow lets you read none of them" in text
    assert "energy" not in text


def test_where_nothing_has_run_the_page_says_what_to_do_next(energy: UseCase) -> None:
    text = page(fact(overview.of_records(energy, records(energy))))
    assert "Nothing has run yet" in text
    assert f"perennial replay energy --from {energy.start}" in text
    assert 'href="/dags/energy.features"' in text


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (Pipeline("features", "energy.features"), "Dag Import Errors"),
        (Pipeline("features", "energy.features", known=True, paused=True), "Unpause its DAGs"),
    ],
)
def test_a_newcomer_whose_dags_cannot_run_sees_why(energy: UseCase, features: Pipeline, said: str) -> None:
    seen = overview.of_records(energy, records(energy))
    assert said in page(fact(seen, pipelines=airflow("energy", features=features)))


def test_an_unreachable_lake_is_reported_once_and_no_row_is_new(energy: UseCase, monkeypatch, tmp_path) -> None:
    from perennial.settings import settings

    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    settings.cache_clear()
    try:
        seen = overview.overviews([energy, discovery.load("flights")])
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    text = page(*map(fact, seen))
    assert text.count("The lake cannot be read.") == 1
    assert "Nothing has run yet" not in text


def write(use_case: UseCase, **tables: tuple[pa.Schema, dict[str, Any]]) -> None:
    for name, (schema, row) in tables.items():
        content = pa.Table.from_pylist([row], schema=schema)
        lake.append_missing(use_case.tables[name], content, key=schema.names[1:])


def test_fleet_page_shows_records_committed_since_last_view(http, access, energy: UseCase) -> None:
    airflow_world.register_dags()
    before = http.get("/perennial/", headers=access)
    assert before.status_code == 200
    assert "Nothing has run yet" in before.text
    of = {"partition": "2024-01-01", "recorded_at": NOON, "model_version": 1}
    write(
        energy,
        batches=(BATCHES, {"partition": "2024-01-01", "table": energy.raw[0].name, "rows": 3, "quarantined": 1}),
        metrics=(METRICS, of | {"role": "champion", "metric": energy.gate.metric, "value": 0.125}),
        verdicts=(VERDICTS, of | {"verdict": "alarm", "evidence": "{}", "label_coverage": 1.0}),
        ledger=(LEDGER, of | {"event_id": "gate:1", "action": "promoted", "evidence": "{}", "effective_from": NOON}),
    )
    after = http.get("/perennial/", headers=access).text
    assert "0.1250" in after
    assert '<span class="badge alarm">alarm</span>' in after
    assert "Nothing has run yet" not in after.split("<table")[0]


def test_without_a_login_there_is_no_page(http) -> None:
    assert http.get("/perennial/").status_code == 401
