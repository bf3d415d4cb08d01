"""The pages of partitions, versions and reports, of a use case that has lived through its loop on real stores."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import mlflow
import pyarrow as pa
import pytest
from markupsafe import escape
from pipelines import run_features_until, train

from perennial import gate, lake, scoring
from perennial.gate import model_card
from perennial.monitoring import monitor
from perennial.pages import airflow_state, layout, partition_monitoring, reports, version_training
from perennial.pages import partition as page
from perennial.pages import version as version_page
from perennial.registry import ledger, mlflow_records, mlflow_tags, tracking
from perennial.settings import settings
from perennial.use_case import ColumnPolicy, UseCase

pytestmark = pytest.mark.usefixtures("project", "mlflow_server")
PLACE = "/perennial/use_cases/energy"
SCORED, BEFORE, NEVER = "2024-01-04", "2024-01-03", "2024-01-20"
EVIL = "<script>alert('x')</script>"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def with_labels(energy: UseCase, share: float, worse_by: float = 0.0) -> None:
    """Let the first share of the scored day's labels be known, and no other."""
    rows = lake.read("energy.examples", partitions=[SCORED]).to_pandas()
    has_label = rows["event_timestamp"].rank(method="first") <= share * len(rows)
    rows["label"] = (rows["meter"].str.removeprefix("meter-").astype(float) + worse_by).where(has_label)
    lake.replace("energy.examples", SCORED, pa.Table.from_pandas(rows, preserve_index=False))


@pytest.fixture(scope="module")
def energy(project, mlflow_server, energy: UseCase) -> UseCase:
    """Three days and a first model; a fourth that it scored, and whose labels came in two parts; a challenger."""
    run_features_until(energy, SCORED)
    before = energy.partition(BEFORE)
    monitor.request_retraining(energy, before, monitor.monitor(energy, before), made_by="<i>monitor</i>")
    first = train(energy, "energy.training/first", window_start="2024-01-01", window_end=BEFORE)
    gate.finalize(energy, gate.evaluate(energy, first))
    scored = energy.partition(SCORED)
    with_labels(energy, 0.9)
    scoring.score(energy, scored)
    monitor.monitor(energy, scored)
    with_labels(energy, 1.0, worse_by=9.0)
    monitor.monitor(energy, scored)
    train(energy, "energy.training/second", window_start="2024-01-01", window_end=SCORED)
    return energy


def shown(energy: UseCase, day: str, records: dict | None = None, runs: tuple = ()) -> str:
    partition = energy.partition(day)
    made = page.predictions(energy, partition)
    return layout.render("partition", **page.view(energy, partition, records or page.records(energy), made, runs))


def version(energy: UseCase, number: int, *, may_roll_back: bool = False, entries: list | None = None) -> str:
    records = page.records(energy)
    entries = ledger.entries(energy) if entries is None else entries
    run = mlflow_records.quick.run_of("energy", number)
    made, away = version_training.of(energy, run)
    registered = version_page.RequestedVersion(energy, number, tuple(entries), run)
    view = version_page.view(registered, records["metrics"], records["verdicts"], made, away, records["requests"])
    return layout.render("version", **view, made_by=None, airflow_run=None, may_roll_back=may_roll_back)


class Parsed(HTMLParser):
    """What of a page runs or loads, its ids, and where its links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: dict[str, str] = {}
        self.ids: list[str] = []
        self.inline: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        attributes = dict(attrs)
        if tag == "a" and attributes.get("href"):
            self.links[attributes["href"] or ""] = attributes.get("class") or ""
        if attributes.get("id"):
            self.ids.append(attributes["id"] or "")
        self.inline += [name for name, _ in attrs if name == "style" or name.startswith("on")]


@pytest.fixture
def away(monkeypatch) -> Iterator[None]:
    """MLflow does not answer."""
    monkeypatch.setenv("PERENNIAL_MLFLOW_URI", "http://127.0.0.1:9")
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


# --- A partition.


def test_every_number_of_the_partition_is_there_with_its_source(energy) -> None:
    text = shown(energy, SCORED)
    records = page.records(energy)
    for name in ("batches", "computations", "predictions", "metrics", "verdicts", "drift", "requests", "ledger"):
        assert f"<code>energy.{name}</code>" in text
    assert "from 2024-01-04 00:00 UTC to before 2024-01-05 00:00 UTC" in text
    (verdict, _) = partition_monitoring.verdicts(row for row in records["verdicts"] if row["partition"] == SCORED)
    assert verdict["verdict"] == "alarm"
    assert str(escape(verdict["explanation"])) in text
    for row in records["drift"]:
        assert f"<code>{row['column']}</code>" in text
        assert f"{row['ratio']:.2f}" in text
        assert row["detectable"] is None or f"{layout.value(row['detectable'])} sd</td>" in text
    assert any(row["detectable"] for row in records["drift"])
    for row in records["metrics"]:
        assert layout.value(row["value"]) in text
    assert "288 predictions" in text


def test_the_state_of_an_alarm_is_below_its_verdict(energy) -> None:
    text = " ".join(shown(energy, SCORED).split())
    assert "<strong>Open: cause not known yet.</strong>" in text
    assert "What would help: start one: perennial trigger energy training." in text
    assert "site=site-0" in text


def test_late_labels_show_both_measurements_newest_first(energy) -> None:
    revisions = partition_monitoring.revisions(energy, page.records(energy)["metrics"], ledger.entries(energy))
    assert [revision["labelled"] for revision in revisions] == [288, 259]
    for revision in revisions:
        names = [metric["name"] for metric in revision["metrics"]]
        assert names[0] == "rmse", "the gate's metric comes first"
        assert set(names) == {"rmse", "mae", "r2"}
        assert revision["metrics"][0]["expected"] == pytest.approx(
            ledger.champion(energy).evidence["metrics"]["challenger"]["rmse"]
        )
    text = shown(energy, SCORED)
    assert "1 earlier, on fewer labels" in text
    assert text.index("288 of 288 predictions") < text.index("259 of 288 predictions")
    assert text.count('class="badge alarm"') >= 1
    assert "earlier," in text


def test_a_request_shows_its_outcome(energy) -> None:
    text = shown(energy, BEFORE)
    assert "first-model" in text
    assert "promoted by gate" in text
    assert "&lt;i&gt;monitor&lt;/i&gt;" in text
    records = page.records(energy)
    undecided = {**records, "ledger": []}
    assert "open: the gate has not yet decided on a model trained on this partition" in shown(energy, BEFORE, undecided)


def test_a_cool_down_that_prevents_a_request_is_named(energy) -> None:
    made = [{"partition": BEFORE, "reason": "drift"}, {"partition": "2024-01-01", "reason": "drift"}]
    verdicts = [{"reason": "performance"}, {"reason": ""}]
    assert partition_monitoring.held_back_by(energy, energy.partition(SCORED), verdicts, made) == BEFORE
    assert partition_monitoring.held_back_by(energy, energy.partition("2024-01-06"), verdicts, made) is None
    assert partition_monitoring.held_back_by(energy, energy.partition(SCORED), [], made) is None
    assert f"partitions/{BEFORE}" in shown(energy, SCORED).split("Requests for retraining")[1].split("Ledger")[0]


def test_a_column_with_its_own_limit_is_compared_with_it(energy) -> None:
    rows = [row for row in page.records(energy)["drift"] if row["partition"] == SCORED]
    column = rows[0]["column"]
    policy = energy.drift.model_copy(update={"columns": {column: ColumnPolicy(ratio=9.0)}})
    own = energy.model_copy(update={"drift": policy})
    judged = partition_monitoring.drift(own, rows, None)
    assert {row["column"]: row["limit"] for row in judged["columns"]} == {
        row["column"]: 9.0 if row["column"] == column else policy.ratio for row in rows
    }
    assert judged["most"] >= 2 * 9.0
    assert "limit 9.0" in shown(own, SCORED)


def test_neighbours_are_linked_as_far_as_there_are_any(energy) -> None:
    def steps(day: str) -> set[str]:
        return {link[-10:] for link in Parsed(shown(energy, day)).links if re.search(r"partitions/[\d-]+$", link)}

    assert steps("2024-01-02") >= {"2024-01-01", BEFORE}
    assert "2023-12-31" not in steps("2024-01-01")
    assert "2024-01-05" not in steps(SCORED)


def test_a_partition_of_which_nothing_is_known_says_how_to_begin(energy) -> None:
    text = shown(energy, NEVER)
    assert "Nothing is recorded of this partition yet" in text
    assert f"perennial replay energy --from {NEVER} --to {NEVER}" in text


def test_before_a_model_nothing_is_invented(energy) -> None:
    text = shown(energy, "2024-01-01")
    assert "There was no champion when the partition began." in text
    assert "Nothing was scored." in text
    assert "Before the first model there is nothing to compare with." in text
    assert "<iframe" not in text


def test_runs_of_airflow_are_shown_with_state_time_and_link(energy) -> None:
    run = airflow_state.AirflowRun(
        "energy.scoring", "manual/1", "failed", SCORED, NOW, NOW, NOW + timedelta(minutes=2, seconds=3)
    )
    text = shown(energy, SCORED, runs=(run,))
    assert 'class="badge failed"' in text
    assert "2 min 3 s" in text
    assert Parsed(text).links["/dags/energy.scoring/runs/manual%2F1"] == "leaving"


def test_nothing_from_data_is_read_as_markup(energy) -> None:
    records = page.records(energy)
    evil = {
        name: [
            {key: EVIL if isinstance(value, str) and key in _FREE else value for key, value in row.items()}
            for row in rows
        ]
        for name, rows in records.items()
    }
    for name in ("verdicts", "requests"):
        evil[name] = [row | {"evidence": '{"%s": "%s"}' % (("</dd><script>",) * 2)} for row in evil[name]]
    for day in (SCORED, BEFORE):
        text = shown(energy, day, evil)
        assert str(escape(EVIL)) in text
        assert Parsed(text).tags.count("script") == Parsed(shown(energy, day)).tags.count("script")


_FREE = {"explanation", "reason", "told", "why", "method", "column", "made_by", "actor", "suite", "transform", "table"}


def test_pages_need_no_script_and_load_nothing_inline(energy) -> None:
    for text in (shown(energy, SCORED), version(energy, 1)):
        parsed = Parsed(text)
        assert not parsed.inline
        assert not {"style", "form", "object", "img"} & set(parsed.tags)
        assert len(parsed.ids) == len(set(parsed.ids))
        outside = {link: kind for link, kind in parsed.links.items() if not link.startswith(("/perennial", "#", "?"))}
        assert set(outside.values()) <= {"leaving", "to-airflow"}, "they work inside Airflow's frame too"


# --- A version.


def test_the_version_tells_status_gate_and_making(energy) -> None:
    text = version(energy, 1)
    (entry,) = ledger.entries(energy)
    run = tracking.client().get_run(entry.model_run)
    assert ">champion</span>" in text
    for rule in entry.evidence["rules"]:
        assert str(escape(rule["name"])) in text
    assert run.data.tags[mlflow_tags.TRAINING_SET] in text
    assert "<dt>alpha</dt><dd>1.0</dd>" in text
    assert "perennial reproduce energy 1" in text
    for table in ("energy.examples", "energy.meter_history"):
        assert f"<dt>{table}</dt>" in text
    assert Parsed(text).links[f"{settings().mlflow_uri}/#/models/energy/versions/1"] == "leaving"
    assert f"{PLACE}/partitions/{SCORED}" in text


def test_a_challenger_known_to_mlflow_only_is_shown_as_one(energy) -> None:
    text = version(energy, 2)
    assert ">challenger</span>" in text
    assert "Nothing is decided about this version yet." in text
    assert "It was never deployed." in text


def test_what_the_ledger_says_makes_the_status(energy) -> None:
    (first,) = ledger.entries(energy)

    def entry(number: int, action: str, outcome: str = "promote") -> ledger.Entry:
        evidence = {**first.evidence, "outcome": outcome, "challenger": number}
        name = f"gate:{number}" if action != "rolled-back" else "rollback:x"
        changed = {"event_id": name, "action": action, "model_version": number, "evidence": evidence}
        return ledger.Entry(**{**vars(first), **changed, "recorded_at": first.recorded_at + timedelta(days=number)})

    entries = [first, entry(2, "promoted"), entry(3, "rejected", "not-enough-evidence"), entry(4, "rejected", "reject")]
    roles = ["former champion", "champion", "inconclusive", "rejected", "challenger"]
    assert [version_page.status(entries, number) for number in range(1, 6)] == roles
    assert version_page.status([*entries, entry(1, "rolled-back")], 2) == "champion", "that one is older in time"
    link = f"{PLACE}/actions/roll-back?to=1"
    assert link in version(energy, 1, may_roll_back=True, entries=entries)
    assert link not in version(energy, 1, may_roll_back=False, entries=entries)
    assert "actions/roll-back" not in version(energy, 1, may_roll_back=True), "the champion serves already"


# --- Through Airflow's server.


def test_pages_are_served_to_who_may_see_the_runs(energy, http, viewing) -> None:
    for place in (f"/partitions/{SCORED}", "/versions/1", "/versions/2"):
        assert http.get(PLACE + place).status_code == 401
        response = http.get(PLACE + place, headers=viewing)
        assert response.status_code == 200, response.text[-500:]
        assert response.headers["content-security-policy"] == layout.HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize("number", ["9", "0", "-1", "x", "1.0", "%C2%B2", "9" * 400])
def test_an_unknown_version_names_those_that_there_are(energy, http, access, number: str) -> None:
    for place in ("", "/card"):
        response = http.get(f"{PLACE}/versions/{number}{place}", headers=access)
        assert response.status_code == 404
        assert "there are v1, v2" in response.text


def test_an_unknown_partition_is_not_found(energy, http, access) -> None:
    for day in ("2023-12-31", "2024-02-01", "nonsense"):
        for rest in ("", "/quarantine", "/drift_report"):
            assert http.get(f"{PLACE}/partitions/{day}{rest}", headers=access).status_code == 404


def test_the_report_is_locked_up_and_is_that_of_the_verdict(energy, http, access) -> None:
    verdicts = partition_monitoring.verdicts(
        row for row in page.records(energy)["verdicts"] if row["partition"] == SCORED
    )
    place = f"{PLACE}/partitions/{SCORED}/drift_report"
    newest = http.get(place, headers=access)
    assert newest.content == mlflow_records.quick.artifact(verdicts[0]["run"], "drift.html")
    earlier = http.get(f"{place}?run={verdicts[1]['run']}", headers=access)
    assert earlier.content == mlflow_records.quick.artifact(verdicts[1]["run"], "drift.html")
    policy = newest.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "sandbox allow-scripts", "script-src 'unsafe-inline'"} <= set(policy)
    assert not {"allow-same-origin", "connect-src", "http:", "https:", "*"} & set(" ".join(policy).split())
    assert http.get(place).status_code == 401


def test_only_runs_named_by_the_partitions_verdicts_are_fetched(energy, http, access) -> None:
    training = tracking.run_of(energy, 1)
    for run in (training, "0" * 32, "../../x"):
        response = http.get(f"{PLACE}/partitions/{SCORED}/drift_report", params={"run": run}, headers=access)
        assert response.status_code == 404
    assert http.get(f"{PLACE}/partitions/{BEFORE}/drift_report", headers=access).status_code == 404


def test_the_card_is_locked_up_and_runs_nothing(energy, http, access) -> None:
    response = http.get(f"{PLACE}/versions/1/card", headers=access)
    assert response.text.replace('<base target="_blank">\n', "") == model_card.read(energy, 1, model_card.HTML)
    policy = response.headers["content-security-policy"]
    assert "sandbox" in policy
    assert "script" not in policy
    assert http.get(f"{PLACE}/versions/2/card", headers=access).status_code == 404, "it was never judged"


def test_constants_of_light_modules_equal_those_of_heavy_ones() -> None:
    assert f"{model_card.FOLDER}/{model_card.HTML}" == reports.CARD


def test_without_mlflow_pages_say_so_and_show_the_rest(energy, http, access, away) -> None:
    response = http.get(f"{PLACE}/partitions/{SCORED}", headers=access)
    assert response.status_code == 200
    response = http.get(f"{PLACE}/versions/1", headers=access)
    assert response.status_code == 200
    assert "MLflow at http://127.0.0.1:9 does not answer" in response.text
    assert "<caption>Rules</caption>" in response.text
    for place in (f"/partitions/{SCORED}/drift_report", "/versions/1/card", "/versions/2"):
        response = http.get(PLACE + place, headers=access)
        assert response.status_code == 503
        assert "MLflow" in response.text


def test_a_version_page_shows_no_changed_document(energy: UseCase, mlflow_server: str) -> None:
    run = mlflow_records.quick.run_of("energy", 2)
    assert run is not None
    before = mlflow.artifacts.load_text(f"runs:/{run}/quality.json")
    client = mlflow.MlflowClient()
    client.log_dict(run, json.loads(before) | {"rows": 123_456_789}, "quality.json")
    try:
        made, away = version_training.of(energy, run)
        assert away == "quality.json in MLflow is not what the training wrote."
        assert made is not None
        assert "quality.json" not in made.documents
        assert "123,456,789" not in version(energy, 2)
    finally:
        client.log_text(run, before, "quality.json")


def test_a_version_page_survives_tags_of_another_form(energy: UseCase, mlflow_server: str) -> None:
    run = mlflow_records.quick.run_of("energy", 2)
    assert run is not None
    client = mlflow.MlflowClient()
    before = client.get_run(run).data.tags[mlflow_tags.REQUESTS]
    client.set_tag(run, mlflow_tags.REQUESTS, "x{")
    try:
        assert "v2" in version(energy, 2)
    finally:
        client.set_tag(run, mlflow_tags.REQUESTS, before)
