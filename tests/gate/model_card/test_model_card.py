"""Model cards, made from a real training, gate and ledger."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import mlflow
import pyarrow as pa
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from pipelines import run_features_until, train
from typer.testing import CliRunner

from perennial import gate, lake
from perennial.cli import app
from perennial.gate import Rule, model_card
from perennial.gate.model_card import facts, rendering
from perennial.gate.model_card.facts import Card
from perennial.lake.schemas import METRICS
from perennial.registry import ledger, mlflow_tags, tracking
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project", "mlflow_server")


@pytest.fixture(scope="module")
def energy(project: Path, mlflow_server: str, energy: UseCase) -> UseCase:
    """Three days of data."""
    run_features_until(energy, "2024-01-03")
    return energy


@pytest.fixture(scope="module")
def version(energy: UseCase) -> int:
    return train(energy, "first")


@pytest.fixture(scope="module")
def settled(energy: UseCase, version: int) -> gate.GateDecision:
    return gate.finalize(energy, gate.evaluate(energy, version))


@pytest.fixture(scope="module")
def card(energy: UseCase, version: int, settled: gate.GateDecision) -> Card:
    return facts.gather(energy, version)


def section(written: str, title: str) -> str:
    return re.split(r"^## ", written.split(f"\n## {title}\n")[1], flags=re.MULTILINE)[0]


def test_the_card_says_what_was_recorded(energy, card) -> None:
    written = rendering.markdown(card)
    run = tracking.client().get_run(card.run_id)
    assert energy.owner in section(written, "Model details")
    assert "| Parameter `alpha` | `1.0` |" in section(written, "Model details")
    assert run.data.tags[mlflow_tags.TRAINING_SET] in section(written, "Training data")
    for table, number in card.training_set["snapshots"].items():
        assert f"| Snapshot of `{table}` | `{number}` |" in section(written, "Training data")
    for name in ("hour_sin", "hour_cos", "meter_last", "meter_mean_24h", "prediction"):
        assert re.search(rf"\| `{name}` \|.*\| [\d.]+ \| wasserstein \|", section(written, "Factors"))
    measured = f"{run.data.metrics['holdout_rmse']:.4f}"
    assert re.search(rf"\*\*all\*\* \| 288 \| {measured}", section(written, "Quantitative analyses"))
    assert "`site` = site-1 | 96" in section(written, "Quantitative analyses")
    assert f"perennial reproduce energy {card.version}" in section(written, "How to reproduce")


def test_before_it_has_scored_anything_the_card_says_so(card) -> None:
    assert "It has scored no partition with enough labels." in section(rendering.markdown(card), "Production")


def test_every_rule_of_the_gate_is_on_the_card(card, settled) -> None:
    decision = section(rendering.markdown(card), "Decision")
    rows = [
        line for line in decision.splitlines() if line.endswith("|") and (" passed |" in line or " failed |" in line)
    ]
    assert len(rows) == len(settled.rules)
    assert all(rendering._text(rule.name) in row for rule, row in zip(settled.rules, rows, strict=True))


def test_the_card_shows_the_versions_outcome(energy, card) -> None:
    entry = ledger.entries(energy)[0]
    written = rendering.markdown(card)
    assert f"**{entry.action}** on {entry.recorded_at:%Y-%m-%d %H:%M:%S} UTC by gate" in written
    assert f"| {entry.action} | {card.version} | gate |" in section(written, "Decision")


def test_before_its_evaluation_the_card_says_so(card) -> None:
    written = rendering.markdown(replace(card, gate=None, history=[]))
    assert "**Not evaluated yet.**" in written
    assert "The gate has not evaluated this version." in written


def test_limits_name_what_the_model_was_not_tested_on(card) -> None:
    small = replace(card, gate=card.gate.model_copy(update={"not_evaluated": ("site=site-3", "site=site-4")}))
    caveats = section(rendering.markdown(small), "Caveats")
    assert "evaluated on nothing after 2024-01-04 00:00:00 UTC" in caveats
    assert "0 of 864 examples of the window had no label" in caveats
    assert "the holdout has too few rows of it: site=site-3, site=site-4." in caveats


def test_attaching_twice_leaves_one_linked_card(energy, version, settled) -> None:
    assert model_card.attach(energy, version) == model_card.attach(energy, version)
    run_id = tracking.run_of(energy, version)
    paths = [item.path for item in tracking.client().list_artifacts(run_id, model_card.FOLDER)]
    assert sorted(paths) == ["model_card/model_card.html", "model_card/model_card.md"]
    registered = tracking.client().get_model_version("energy", str(version))
    assert registered.tags[mlflow_tags.MODEL_CARD].endswith(f"/runs/{run_id}/artifacts/model_card/model_card.html")
    assert registered.tags[mlflow_tags.MODEL_CARD] in registered.description


def test_the_command_prints_the_card_in_both_forms(energy, version, settled) -> None:
    def printed(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["card", "energy", str(version), *arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    assert printed() == model_card.read(energy, version) + "\n"
    assert printed("--html") == model_card.read(energy, version, model_card.HTML) + "\n"


def test_a_card_can_be_seen_without_attaching_it(energy, version, settled) -> None:
    server = tracking.client()
    server.delete_model_version_tag("energy", str(version), mlflow_tags.MODEL_CARD)
    result = CliRunner().invoke(app, ["card", "energy", str(version), "--dry-run", "--json"])
    printed = json.loads(result.stdout)
    assert mlflow_tags.MODEL_CARD not in server.get_model_version("energy", str(version)).tags
    assert (printed["version"], printed["attached"]) == (version, False)
    assert printed["card"] == model_card.attach(energy, version)


def test_a_description_that_a_person_wrote_stays(energy, version, settled) -> None:
    server = tracking.client()
    server.update_model_version("energy", str(version), "Ada looked at this one.")
    model_card.attach(energy, version)
    assert server.get_model_version("energy", str(version)).description == "Ada looked at this one."
    server.update_model_version("energy", str(version), "")
    model_card.attach(energy, version)
    assert rendering.LINK in server.get_model_version("energy", str(version)).description


def test_equal_records_give_equal_bytes(energy, version, card) -> None:
    again = facts.gather(energy, version)
    written = rendering.markdown(again)
    assert written == rendering.markdown(card)
    assert rendering.html(again, written) == rendering.html(card, rendering.markdown(card))
    assert model_card.read(energy, version, model_card.MARKDOWN) == model_card.attach(energy, version)


def test_a_version_of_before_there_were_cards_gets_one_too(energy, card) -> None:
    """Its run has no provenance, no quality and no drift profile."""
    bare = replace(card, provenance={}, quality=None, features=[], changes={}, gate=None, algorithm="", rows_fit=None)
    written = rendering.markdown(replace(bare, training_set={"start": card.training_set["start"]}))
    assert written.count("ot recorded") >= 4


written = st.text(st.characters(codec="utf-8"), max_size=40).filter(lambda text: rendering._text(text).strip())
hostile = written | st.sampled_from(
    [
        "1. item",
        "2) item",
        "- item",
        "+ item",
        "===",
        "---",
        "    code",
        "<script>alert(1)</script>",
        "a|b\n# c",
        "](javascript:alert(1))",
        "![x](http://elsewhere/x)",
        "`",
        "{{ 7 * 7 }}",
    ]
)


@given(text=hostile)
@settings(max_examples=examples(40), deadline=None)
def test_nothing_from_data_is_read_as_markup(card: Card, text: str) -> None:
    """Whatever a value holds, the page has the same elements, and shows the value."""
    harmless, risky = (
        replace(
            card,
            use_case=card.use_case.model_copy(update={"title": reason, "description": reason, "owner": reason}),
            params={"alpha": reason},
            algorithm=reason,
            window=reason,
            gate=card.gate.model_copy(
                update={"reason": reason, "rules": [Rule(name=reason, value=1.0, threshold=2.0, passed=True)]}
            ),
        )
        for reason in ("harmless", text)
    )
    shown = rendering.html(risky, rendering.markdown(risky))
    assert _elements(shown) == _elements(rendering.html(harmless, rendering.markdown(harmless)))
    assert "49" not in shown or "49" in text or "49" in rendering.html(harmless, rendering.markdown(harmless))


def _elements(page: str) -> list[str]:
    """The page's tags in their order; names may be set as code or not."""
    return [tag for tag in re.findall(r"<(/?[a-z][a-z0-9]*)", page.split("<body>")[1]) if tag not in {"code", "/code"}]


def test_the_page_loads_nothing_from_anywhere(card) -> None:
    page = rendering.html(card, rendering.markdown(card))
    assert not re.search(r"<(script|img|link|iframe|object)\b|\bsrc=|@import|url\(", page)
    assert "default-src 'none'" in page


def test_the_markdown_is_what_other_readers_take(card) -> None:
    """Plain CommonMark with tables: every table's rows have as many cells as its head."""
    tokens = MarkdownIt("commonmark").enable("table").parse(rendering.markdown(card))
    assert sum(token.type == "table_open" for token in tokens) >= 5
    assert mlflow.artifacts.load_text(f"runs:/{card.run_id}/{model_card.FOLDER}/{model_card.MARKDOWN}")


# Last: it changes the records that the tests above read.
def test_the_card_shows_what_the_version_gained(energy, version, card) -> None:
    row = {"partition": "2024-01-04", "rows": 9, "labelled": 9, "metric": "rmse", "recorded_at": datetime.now(UTC)}
    metrics = [
        row | {"role": "champion", "model_version": version, "value": 0.3},
        row | {"role": "first", "model_version": 1, "value": 0.5},
        row | {"role": "champion", "model_version": version + 1, "value": 0.1, "partition": "2024-01-05"},
    ]
    lake.append_changed(energy.tables.metrics, pa.Table.from_pylist(metrics, schema=METRICS))
    production = section(rendering.markdown(facts.gather(energy, version)), "Production")
    assert "Means over 1 partition, 2024-01-04, of those that it scored" in production
    assert "| **as it served** | 0.3000 | |" in production
    assert "| never retrained | 0.5000 | 0.2000 |" in production
    assert "| retrained at every partition | not measured |  |" in production
    assert "`perennial backtest energy`" in production
