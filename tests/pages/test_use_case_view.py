"""What the page of a use case shows, from records of every shape that a use case can be in."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from use_case_world import EVIL, NOON, World, decision, doing

from perennial import Rollout
from perennial.pages import gate_comparison, heat_map, layout, markdown, timeline
from perennial.pages import use_case as page
from perennial.pages.actions import Done
from perennial.pages.airflow_state import AirflowRun, Approval, Pipeline
from perennial.partitions import Cadence
from perennial.reporting.partition_status import PartitionStatus
from perennial.settings import Prices
from perennial.telemetry import costs
from perennial.telemetry.costs import Attempt
from perennial.telemetry.measuring import Usage
from perennial.use_case import DriftPolicy

ALL = frozenset({"retrain", "answer", "roll-back", "resume"})
RUN = AirflowRun("energy.training", "manual__2026 x", "running", None, NOON, NOON, None)


@pytest.fixture
def lived(energy) -> World:
    """Two partitions without a model, a first one that ages, a better one, an alarm, and a rollback."""
    world = World(energy)
    for key in ("2024-01-01", "2024-01-02"):
        world.partition(key, version=None, verdict="no-champion", label_coverage=0.0)
    world.decided(1, None, "2024-01-02")
    world.partition("2024-01-03", 1, 0.6)
    world.decided(2, 1, "2024-01-03")
    world.partition("2024-01-04", 2, 0.3, verdict="alarm", drifted_columns=1, explanation="rmse is 0.3")
    world.rolled_back(1, 2, "2024-01-04")
    world.drift("2024-01-03", "hour", importance=0.7).drift("2024-01-04", "hour", 3.0, importance=0.7)
    world.drift("2024-01-03", "prediction", importance=0.0).drift("2024-01-04", "meter_last", importance=0.2)
    return world


class Read(HTMLParser):
    """The text of a page by section, its links, and what of it a browser would run or refuse."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.leaving: list[str] = []
        self.scripts: list[str | None] = []
        self.styled = 0
        self.ids: list[str] = []
        self.words = ""
        self._hidden = False
        self.feed(text)
        self.words = " ".join(self.words.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.words += " "
        self.styled += "style" in attributes or tag == "style"
        self.ids += [attributes["id"] or ""] if "id" in attributes else []
        if tag == "script":
            self.scripts.append(attributes.get("src") or attributes.get("type"))
            self._hidden = True
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"] or "")
            if attributes.get("class") == "leaving":
                self.leaving.append(attributes["href"] or "")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = self._hidden and tag != "script"
        self.words += " "

    def handle_data(self, data: str) -> None:
        self.words += " " if self._hidden else data


def text(world: World, may: frozenset = ALL, until: str | None = None, done: Any = None, **more: Any) -> str:
    shown = page.view(world.use_case, world.rows, doing(world.use_case, **more), until)
    return layout.render("use_case", **shown, may=may, done=done)


def read(world: World, **how: Any) -> Read:
    return Read(text(world, **how))


def test_champion_metric_and_verdict_come_first(lived) -> None:
    words = read(lived).words
    assert "Champion v1 rolled back to" in words
    assert "Production rmse 0.3000 2024-01-04 , scored by v2 , 90% of its predictions have a label" in words
    assert "0.1000 worse than the expected 0.2000" in words
    assert "v1 has not scored a partition with labels since it became champion" in words
    assert "Last verdict alarm, closed 2024-01-04" in words
    assert "Closed: another version serves. v2 no longer serves, v1 does." in words


def test_an_open_alarm_says_what_would_help(lived) -> None:
    lived.partition("2024-01-05", 1, 0.9, verdict="alarm", reason="performance", evidence=alarm_of("performance"))
    lived.add("requests", partition="2024-01-05", reason="performance", evidence="{}", request_id="r", made_by="m")
    words = read(lived).words
    assert "Last verdict alarm 2024-01-05" in words
    assert "Open: cause not known yet. retraining on data up to 2024-01-05 is requested" in words
    assert "What would help: wait for the training run, or start one: perennial trigger energy training." in words
    assert page.view(lived.use_case, lived.rows, doing(lived.use_case))["chart"]["marks"][-1]["sign"] == "▲"


def test_broken_data_are_named_with_the_act(lived) -> None:
    evidence = alarm_of("performance", cause="broken-data", broken=[f"hour: {EVIL}"])
    lived.partition("2024-01-05", 1, 0.9, verdict="alarm", reason="performance", evidence=evidence)
    shown = text(lived)
    assert EVIL not in shown
    assert "Open: broken data. the data look broken (hour: " in Read(shown).words
    assert "run the partition again: perennial trigger energy features --partition 2024-01-05" in Read(shown).words


def test_the_level_of_the_chart_moves_with_what_is_expected(lived) -> None:
    for key, expected in (("2024-01-05", 0.2), ("2024-01-06", 0.4)):
        lived.partition(key, 1, 0.3, evidence=json.dumps({"metric": "rmse", "promised": expected}))
    chart = page.view(lived.use_case, lived.rows, doing(lived.use_case))["chart"]
    assert [(level["from"], level["to"], level["value"]) for level in chart["from"]][-2:] == [(4, 4, 0.2), (5, 5, 0.4)]
    assert "2024-01-06 100 2 v1 0.3000 0.4000" in read(lived).words


def alarm_of(kind: str, **more: Any) -> str:
    return json.dumps({"alarms": [kind], "rows": 100, "lived": 0.9, "lost": 0.7} | more)


def test_predictions_on_request_and_ahead_are_told_apart_where_there_are_any(lived) -> None:
    assert not {"served", "ahead"} & set(read(lived).words.split("Table of")[0].split("verdict action")[0].split())
    lived.partition("2024-01-05", 1, 0.2, evidence=json.dumps({"rows": 200, "served": 150, "ahead": 90}))
    words = read(lived).words
    assert "Predicted: 60 on request, 90 ahead, 50 backfilled." in words
    assert "drifted served ahead verdict action" in words
    assert "75% 45% healthy" in words


def test_costs_are_told_where_some_were_recorded(energy, lived) -> None:
    attempt = Attempt("training", "fit", "energy.training/a", -1, 1, "success", None)
    used = Usage(cpu_seconds=1800.0, wall_seconds=3600.0, peak_bytes=10**9, read_bytes=None, written_bytes=None)
    prices = Prices(currency="EUR", cpu_hour=0.5)
    spent = costs.of_rows([costs.row(attempt, used, NOON) | {"partition": "2026-01"}], prices)
    view = page.view(energy, lived.rows, doing(energy)) | {"costs": spent, "prices": prices}
    words = Read(layout.render("use_case", **view, may=ALL, done=None)).words
    assert "The last retraining, in 2026-01: 0.500 CPU hours, 1.000 GB hours, 0.2500 EUR" in words
    assert "2026-01 training 1 0.500 1.000 0.000 0.000 0.2500 EUR" in words
    assert "Costs" not in read(lived).words


def test_gain_and_regret_are_means_of_the_same_partitions(lived) -> None:
    words = read(lived).words
    assert "champion, as it served 0.4500" in words
    assert "never retrained 0.5000 0.0500" in words.replace("+", "")
    assert "retrained at every partition not measured" in words
    assert "run perennial backtest energy to measure" in words
    for policy, value in (("always", 0.25), ("baseline", 5.0)):
        fields = {"metric": "rmse", "value": value, "labelled": 90}
        lived.add("backtests", partition="2024-01-04", policy=policy, **fields)
    words = read(lived).words
    assert "champion, as it served 0.3000" in words
    assert "retrained at every partition 0.2500 -0.0500" in words.replace("−", "-")
    assert "Means of 1 of 2 partitions, 2024-01-04, the same for all rows" in words
    assert "a backtest of 2026-01-01" in words


def test_a_rollout_comes_first_with_its_stage(lived) -> None:
    lived.use_case = lived.use_case.model_copy(update={"rollout": Rollout(shadow=timedelta(days=1))})
    lived.tried(3, 1, "2024-01-04").tried(3, 1, "2024-01-04", share=0.05)
    shown = read(lived)
    assert "v3 is tried on live requests beside champion v1 : canary 5% since" in shown.words
    assert shown.words.index("is tried on live requests") < shown.words.index("Champion v1")
    assert any(link.endswith("/versions/3#rollout") for link in shown.links)
    lived.decided(3, 1, "2024-01-04", action="rejected")
    assert "is tried on live requests" not in read(lived).words


def test_what_a_person_put_in_shadow_is_told_as_such(lived) -> None:
    stage = json.dumps({"stage": {"share": 0.0, "seconds": 86_400.0}})
    fields = {"event_id": "shadow:r", "action": "shadow", "actor": "ada", "recorded_at": datetime.now(UTC)}
    lived.add("ledger", **fields, model_version=2, previous_version=1, partition="2024-01-04", evidence=stage)
    shown = read(lived)
    assert "v2 is in shadow beside champion v1 , put there by ada: since" in shown.words
    assert "at the latest. Nothing is decided by it." in shown.words
    assert "is tried on live requests" not in shown.words
    assert not any(link.endswith("#rollout") for link in shown.links)


def test_a_pause_and_quarantined_rows_come_first(lived) -> None:
    lived.add("refused_batches", partition="2024-01-02", table="readings", batch="b")
    words = read(lived).words
    assert words.index("Automatic promotion is paused") < words.index("Champion v1")
    assert "by ada: wrong at night" in words
    assert "pending review: 1 in 2024-01-02" in words


def test_features_published_later_than_declared_come_first(lived) -> None:
    declared = json.dumps({"energy_meter_history": [3600, 300]})
    for day in (2, 3):
        until = datetime(2024, 1, day, tzinfo=UTC)
        lived.add("publications", partition="2024-01-01", until=until, recorded_at=until, declared=declared)
    words = read(lived).words
    assert words.index("Features are published later than declared") < words.index("Champion v1")
    assert "view energy_meter_history is declared to be published every 1 hour, 5 minutes later" in words


def test_actions_are_offered_or_name_the_permission_they_need(lived) -> None:
    forms = {f"/perennial/use_cases/energy/actions/{act}" for act in ("retrain", "roll-back", "resume")}
    assert forms <= set(read(lived).links)
    viewed = read(lived, may=frozenset())
    assert not [link for link in viewed.links if "/actions/" in link]
    assert "a permission in Airflow: retrain (start runs of energy.training )" in viewed.words
    assert "roll back (start runs of energy.champion )" in viewed.words


def test_one_champion_offers_neither_rollback_nor_resume(energy) -> None:
    links = read(World(energy).partition("2024-01-02").decided(1, None, "2024-01-02")).links
    assert "/perennial/use_cases/energy/actions/retrain" in links
    assert not [link for link in links if link.endswith(("roll-back", "resume"))]


def test_where_nothing_ran_the_page_says_what_to_do(energy) -> None:
    words = read(World(energy), paused=["features"]).words
    assert "Nothing has run yet" in words
    assert "perennial replay energy --from 2024-01-01 --to 2024-01-31" in words
    assert "energy.features is paused" in words
    assert "Ledger" not in words
    assert "Retrain" not in words


def test_dags_unknown_to_airflow_are_reported(energy) -> None:
    shown = page.view(energy, World(energy).rows, page.Activity({name: Pipeline(name, name) for name in page_names()}))
    words = Read(layout.render("use_case", **shown, may=ALL, done=None)).words
    assert "Airflow does not know the DAGs" in words
    assert words.count("not in Airflow") == len(page_names())


def page_names() -> tuple[str, ...]:
    return ("features", "scoring", "monitoring", "training", "champion")


def test_without_a_model_partitions_show_with_no_invented_values(energy) -> None:
    world = World(energy).partition("2024-01-01", None, verdict="no-champion", label_coverage=0.0)
    words = read(world).words
    assert "Champion – 1 partition is loaded; the first model is requested once 3 are, with enough labelled" in words
    assert "Production rmse –" in words
    assert "No partition was compared with a training profile yet" not in words
    assert "2024-01-01 100 2 – – – – – – no champion –" in words


def test_a_requested_first_model_is_not_announced_again(energy) -> None:
    world = World(energy).partition("2024-01-01", None, verdict="no-champion", reason="first-model", label_coverage=0.9)
    words = read(world).words
    assert "The first model was requested on 2024-01-01" in words
    assert "is requested once" not in words


def test_the_loop_tells_state_runs_and_what_comes_next(lived) -> None:
    pipelines = dict(doing(lived.use_case).pipelines)
    failed = AirflowRun("energy.scoring", "r/1", "failed", "2024-01-04", NOON, NOON, NOON)
    pipelines["scoring"] = Pipeline("scoring", "energy.scoring", known=True, latest=failed)
    pipelines["training"] = Pipeline("training", "energy.training", known=True, active=2, latest=RUN)
    pipelines["features"] = Pipeline("features", "energy.features", True, next=NOON + timedelta(days=9999))
    shown = page.view(lived.use_case, lived.rows, page.Activity(pipelines))
    page_read = Read(layout.render("use_case", **shown, may=ALL, done=None))
    assert "Scoring failed Last run: 2024-01-04, failed" in page_read.words
    assert "Training and gate running 2 runs" in page_read.words
    assert "Features not run yet Next run in" in page_read.words
    assert {"/dags/energy.scoring/runs/r%2F1", "/dags/energy.features"} <= set(page_read.leaving)


def test_all_failed_runs_and_pending_rows_are_links(lived) -> None:
    days = [f"2024-01-{day:02}" for day in range(1, 10)]
    failed = tuple(AirflowRun("energy.scoring", f"r{day}", "failed", day, NOON, NOON, NOON) for day in days)
    pipelines = doing(lived.use_case).pipelines | {
        "scoring": Pipeline("scoring", "energy.scoring", known=True, failed=failed)
    }
    page_read = Read(
        layout.render("use_case", **page.view(lived.use_case, lived.rows, page.Activity(pipelines)), may=ALL, done=None)
    )
    assert {run.path for run in failed} <= set(page_read.leaving)
    assert "scoring of 2024-01-01" in page_read.words
    assert "and 3 more" in page_read.words


def test_the_table_has_a_row_a_partition_newest_first(lived) -> None:
    words = read(lived).words
    assert "2024-01-04 100 2 v2 0.3000 0.2000 0.5000 90% 1 alarm, closed rolled back to v1" in words
    assert "2024-01-03 100 2 v1 0.6000 0.2000 0.5000 90% 0 healthy promoted v2" in words
    assert words.index("2024-01-04 100 2") < words.index("2024-01-03 100 2")


def test_chart_shows_champions_expected_metric_and_its_interval(lived) -> None:
    chart = page.view(lived.use_case, lived.rows, doing(lived.use_case))["chart"]
    assert [band["label"] for band in chart["bands"]] == ["v1", "v2"]
    assert [(band["from"], band["to"]) for band in chart["bands"]] == [(2, 2), (3, 3)]
    assert [level["value"] for level in chart["from"]] == [0.2, 0.2]
    first, champion = (series["values"] for series in chart["series"])
    assert champion == [None, None, 0.6, 0.3]
    assert first == [None, None, 0.5, 0.5]
    assert [(mark["at"], mark["sign"]) for mark in chart["marks"]] == [(1, "★"), (2, "★"), (3, "△"), (3, "↩")]
    assert chart["links"][3] == "energy/partitions/2024-01-04"


def test_drift_is_in_words_largest_first_not_only_in_colour(lived) -> None:
    html = text(lived)
    words = Read(html).words
    assert "prediction – 0.3 – hour 70% 0.3 ▲ drifted, 2.0 meter_last 20% – 0.3" in words
    assert 'title="hour, 2024-01-04: hour moved"' in html
    assert "/perennial/use_cases/energy/partitions/2024-01-04#drift" in Read(html).links


def test_gate_rules_and_both_models_metrics_are_side_by_side(lived) -> None:
    words = read(lived).words
    assert "promoted v2 was evaluated against v1 on 96 rows" in words
    assert "rmse the gate's metric 0.2000 0.5000 +0.3000" in words
    assert "calibration_error 0.0200 0.0100 -0.0100" in words
    assert "✗ failed rmse gained at least 0.1000 0.2500 near" in words
    assert "For rmse its 95% lower bound is +0.1000, its 95% upper bound +0.5000" in words
    assert "12.3 ms" in words
    assert "Too few rows to evaluate: site=site-9 (3)" in words


def test_decisions_and_deployments_show_evidence_newest_first(lived) -> None:
    page_read = read(lived)
    assert "rolled back v1 v2 2024-01-04 ada wrong at night Airflow run" in page_read.words
    assert "promoted v1 – 2024-01-02 gate better MLflow run" in page_read.words
    assert "/dags/energy.champion/runs/manual__2024-01-04" in page_read.leaving
    assert any(link.endswith("/#/runs/run1") for link in page_read.leaving)
    assert "2024-01-05 on rolled back ada" in page_read.words


def test_an_approval_shows_evidence_and_a_form_if_permitted(lived) -> None:
    approval = Approval(RUN, "approve", -1, "Promote?", "**promote.** better\n\n| a |\n|---|\n| 1 |", NOON)
    judged = decision(3, 1, "2024-01-04")
    page_read = read(lived, approvals=[approval], evaluated=judged)
    assert "Promote? Requested" in page_read.words
    assert "pending review v3 was evaluated against v1" in page_read.words
    assert "/perennial/use_cases/energy/actions/answer?run=manual__2026%20x" in page_read.links
    assert "/dags/energy.training/runs/manual__2026%20x/tasks/approve/required_actions" in page_read.leaving
    viewed = read(lived, may=frozenset(), approvals=[approval], evaluated=judged)
    assert "requires permission in Airflow to answer required actions of the DAG energy.training" in viewed.words
    assert not [link for link in viewed.links if "/actions/answer" in link]


def test_what_was_just_done_is_shown_with_its_run(lived) -> None:
    found = read(lived, done=Done("Retraining is under way.", RUN))
    assert "Retraining is under way." in found.words
    assert f"{RUN.path}" in found.leaving


def test_text_from_data_and_people_is_escaped_in_html(energy) -> None:
    world = World(energy).partition("2024-01-03", explanation=EVIL).decided(1, None, "2024-01-02", reason=EVIL)
    entry = decision(2, 1, "2024-01-03", promote=False) | {"reason": EVIL, "not_judged": [EVIL]}
    entry["rules"] = [{"name": EVIL, "value": 1, "threshold": 1, "passed": True, "note": EVIL}]
    world.decided(2, 1, "2024-01-03", "rejected", actor=EVIL, reason=EVIL, evidence=entry)
    world.drift("2024-01-03", EVIL, told=f'" onclick="x {EVIL}')
    approval = Approval(
        RUN, "approve", -1, EVIL, f"{EVIL}\n\n[x](javascript:alert(1)) ![y](http://elsewhere/y.png)", NOON
    )
    html = text(world, approvals=[approval])
    assert EVIL not in html
    assert "onclick=" not in html.replace("&#34; onclick=", "")
    assert "<img" not in html
    assert not [link for link in Read(html).links if link.startswith("javascript")]


def test_the_page_contains_no_script_and_no_style(lived) -> None:
    asked = Approval(RUN, "approve", -1, "Promote?", "| a | b |\n|--:|:-:|\n| 1 | 2 |", NOON)
    found = read(lived, approvals=[asked, asked])
    assert not found.styled
    assert [each for each in found.scripts if "/static/" not in str(each)] == ["application/json"]
    assert len(found.ids) == len(set(found.ids))


def test_thousands_of_partitions_are_paged_and_the_page_says_so(energy) -> None:
    hourly = energy.model_copy(update={"cadence": Cadence.HOURLY, "start": "2024-01-01T00", "end": None})
    world = World(hourly).decided(1, None, "2024-01-01T00")
    keys = [hourly.cadence.at(hourly.first.start + timedelta(hours=hour)).key for hour in range(1_500)]
    for key in keys:
        world.partition(key).drift(key, "hour")
    html = text(world)
    seen = Read(html)
    assert f"{timeline.SHOWN} of 1,500 partitions are shown, earlier ones" in seen.words
    assert f"{timeline.SHOWN - page.OPEN} earlier partitions" in seen.words
    assert f"The newest {heat_map.PARTITIONS} of the partitions above" in seen.words
    assert f"/perennial/use_cases/energy?until={keys[-timeline.SHOWN - 1]}#timeline" in seen.links
    assert len(html) < 600_000
    older = read(world, until=keys[200])
    assert keys[200] in older.words
    assert keys[201] not in older.words
    assert "later ones , the newest" in older.words


@given(st.integers(1, 1_000), st.integers(0, 999))
def test_windows_follow_each_other_without_gap_or_overlap(many: int, at: int) -> None:
    every = [
        timeline.TimelineRow(PartitionStatus(f"{n:04}", 1, 0, 0, None, None, None, None, None, ""), None, "", None)
        for n in range(many)
    ]
    window = timeline.window(every, f"{min(at, many - 1):04}")
    assert window.lines[-1].key == f"{min(at, many - 1):04}"
    if window.earlier:
        assert int(window.earlier) == int(window.lines[0].key) - 1
    if window.later:
        following = timeline.window(every, window.later)
        assert int(following.lines[0].key) <= int(window.lines[-1].key) + 1
        assert int(following.lines[-1].key) > int(window.lines[-1].key)
    else:
        assert window.lines[-1] == every[-1]


def test_most_important_features_are_shown_the_rest_is_counted(energy) -> None:
    world = World(energy).decided(1, None, "2024-01-02").partition("2024-01-03")
    for number in range(150):
        world.drift("2024-01-03", f"feature_{number:03}", importance=number / 1_000)
    heat = page.view(energy, world.rows, doing(energy))["heat"]
    assert heat.rows[0].column == "feature_149"
    assert (len(heat.rows), len(heat.folded), heat.omitted) == (30, 90, 30)
    assert min(row.importance for row in heat.rows) > max(row.importance for row in heat.folded)
    words = read(world).words
    assert "90 less important features" in words
    assert "30 even less important ones are on the pages of the partitions" in words


def test_the_probabilities_of_classes_come_first_as_predictions_do() -> None:
    use_case = SimpleNamespace(task="multiclass", drift=DriftPolicy())
    row = {
        "partition": "2024-01-01",
        "model_version": 1,
        "ratio": 1.0,
        "drifted": False,
        "told": "",
        "recorded_at": NOON,
    }
    importance = {"x": 1.0, "probability_red": 0.0, "prediction": 0.0}
    rows = [row | {"column": column, "importance": share} for column, share in importance.items()]
    shown = heat_map.heat_map(use_case, rows, ["2024-01-01"]).rows
    assert [each.column for each in shown] == ["prediction", "probability_red", "x"]
    use_case.task = "binary"
    assert [each.column for each in heat_map.heat_map(use_case, rows, ["2024-01-01"]).rows][:2] == ["prediction", "x"]


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=20), st.floats(0.1, 10))
def test_a_cell_darkens_with_distance_and_is_dark_at_its_limit(ratios, limit) -> None:
    use_case = SimpleNamespace(task="regression", drift=DriftPolicy(ratio=limit))
    rows = [
        {"partition": f"{place:03}", "model_version": 1, "column": "x", "ratio": ratio, "importance": 1.0}
        | {"drifted": ratio > limit, "told": "", "recorded_at": NOON}
        for place, ratio in enumerate(sorted(ratios))
    ]
    cells = heat_map.heat_map(use_case, rows, [row["partition"] for row in rows]).rows[0].cells
    steps = [cell.step for cell in cells]
    assert steps == sorted(steps)
    assert all(0 <= step <= 9 for step in steps)
    assert all(cell.step >= 5 for cell in cells if cell.ratio / cell.limit >= 1)
    assert all(cell.step < 5 for cell in cells if cell.ratio / cell.limit < 1)
    assert all(len(cell.written) <= 4 for cell in cells)


def test_a_column_checked_again_shows_its_last_result(energy) -> None:
    world = World(energy).drift("2024-01-03", "hour", 9.0).drift("2024-01-03", "hour", 0.5)
    (row,) = heat_map.heat_map(energy, world.rows["drift"], ["2024-01-03"]).rows
    assert [cell.ratio for cell in row.cells if cell] == [0.5]


def test_newest_challenger_is_the_pending_or_last_decided_one(lived) -> None:
    from perennial.registry import ledger

    entries = ledger.from_rows(lived.rows["ledger"])
    waiting = gate_comparison.compare(lived.use_case, entries, decision(7, 2, "2024-01-04"))
    decided = gate_comparison.compare(lived.use_case, entries)
    assert (waiting.decision.challenger, waiting.entry) == (7, None)
    assert (decided.decision.challenger, decided.entry.model_version) == (2, 2)
    assert gate_comparison.compare(lived.use_case, []) is None


def test_evidence_of_another_release_leaves_the_page_readable(energy) -> None:
    world = World(energy).decided(1, None, "2024-01-02", evidence={"something": "else"})
    words = read(world).words
    assert "Champion and challenger" not in words
    assert "promoted v1 – 2024-01-02 gate better" in words


def test_a_gain_is_an_improvement_whichever_direction_is_better() -> None:
    assert gate_comparison.ComparedMetric("rmse", 0.2, 0.5).improvement == pytest.approx(0.3)
    assert gate_comparison.ComparedMetric("r2", 0.2, 0.5).improvement == pytest.approx(-0.3)
    assert gate_comparison.ComparedMetric("calibration_error", 0.2, None).improvement is None


def test_markdown_becomes_html_whose_links_leave_the_frame() -> None:
    html = markdown.html("**sure** [run](http://mlflow/#/runs/1)\n\n| a |\n|--:|\n| 1 |")
    assert '<strong>sure</strong> <a href="http://mlflow/#/runs/1" class="leaving">run</a>' in html
    assert "<td>1</td>" in html
    assert "style" not in html
