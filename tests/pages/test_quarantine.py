"""The page of what was refused: complete, escaped, a hundred at a time, with the commands that decide about it."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape

import pyarrow as pa
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import escape
from typer.testing import CliRunner

from perennial.cli import app
from perennial.errors import BadBatch
from perennial.ingestion import ingest
from perennial.pages import layout
from perennial.pages import quarantine as page
from perennial.quarantine import review
from perennial.quarantine.items import QuarantinedItem, list_items
from perennial.quarantine.states import ItemState
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project")
DAY, REFUSED_WHOLE, CALM = "2024-01-05", "2024-01-06", "2024-01-07"
PLACE = "/perennial/use_cases/energy/partitions"
EVIL = "</td><script>alert('x')</script>"
TOO_MUCH = "expect_column_values_to_be_between(kwh)"
PENDING_ROW = QuarantinedItem(
    partition=DAY,
    table="readings",
    item="",
    kind="row",
    state=ItemState.PENDING,
    reasons=(TOO_MUCH,),
    rows=1,
    suite="s",
    code_version="c",
    content="f",
    position=0,
    detail="{}",
    recorded_at=datetime.now(UTC),
    decision=None,
)


@pytest.fixture(scope="module")
def energy(project, energy: UseCase) -> UseCase:
    """Two rows of a day are refused, of another the whole batch."""
    source = energy.module("source")
    original = source.readings

    def readings(partition) -> pa.Table:
        rows = original(partition)
        if partition.key == REFUSED_WHOLE:
            return rows.drop_columns(["kwh"])
        if partition.key != DAY:
            return rows
        sites = pa.array([EVIL, *rows["site"].to_pylist()[1:]])
        kwh = pa.array([5000.0, 6000.0, *rows["kwh"].to_pylist()[2:]])
        return rows.set_column(0, "site", sites).set_column(3, "kwh", kwh)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(source, "readings", readings)
        for day in (DAY, CALM):
            ingest.ingest_partition(energy, energy.partition(day))
        with pytest.raises(BadBatch):
            ingest.ingest_partition(energy, energy.partition(REFUSED_WHOLE))
        yield energy


def items(energy: UseCase, day: str = DAY) -> list[QuarantinedItem]:
    return list_items(energy, energy.partition(day), None)


def shown(energy: UseCase, day: str = DAY, **chosen: str) -> str:
    return layout.render("quarantine", **page.view(energy, energy.partition(day), items(energy, day), **chosen))


def commands(text: str) -> list[str]:
    return [unescape(command) for command in re.findall(r"<dd><code>(perennial .*?)</code>", text)]


def test_each_rejected_row_shows_content_and_failed_expectations(energy) -> None:
    text = shown(energy)
    for item in items(energy):
        assert f"<code>{item.item}</code>" in text
    assert "<dt>kwh</dt><dd>5000.0</dd>" in text
    assert text.count(f"<code>{TOO_MUCH}</code>") == 2
    assert "1 to 2 of 2." in text


def test_what_data_says_is_escaped(energy) -> None:
    text = shown(energy)
    assert "<script>alert" not in text
    assert escape(EVIL) in text


def test_a_batch_rejected_whole_shows_its_rows_and_the_reason(energy) -> None:
    (batch,) = items(energy, REFUSED_WHOLE)
    text = shown(energy, REFUSED_WHOLE)
    assert f"batch <code>{batch.item}</code>" in text
    assert "288 rows" in text
    assert escape(batch.detail) in text


def test_a_partition_of_which_nothing_was_refused_says_so(energy) -> None:
    assert "Nothing of this partition was ever quarantined." in shown(energy, CALM)


def test_each_command_shown_exists_and_selects_these_items(energy) -> None:
    listed = commands(shown(energy))
    assert len(listed) == 3 + 2 * 3, "three for all that waits, three for each item"
    for command in listed:
        dry = [] if "--dry-run" in command else ["--dry-run"]
        result = CliRunner().invoke(app, [*shlex.split(command)[1:], *dry, "--json"])
        # 1: what waits still breaks something, unless it is accepted.
        assert result.exit_code == (1 if "release" in command and "--accept" not in command else 0), result.output


def test_table_and_state_choose_and_what_they_are_not_is_refused(energy) -> None:
    assert "1 to 2 of 2." in shown(energy, table="readings", state="waiting")
    assert "No items." in shown(energy, state="discarded")
    for wrong in ({"table": "nothing"}, {"state": "lost"}, {"number": "2"}, {"number": "0"}, {"number": "x"}):
        with pytest.raises(LookupError):
            shown(energy, **wrong)


def test_a_choice_leads_to_as_many_as_it_says(energy) -> None:
    many = [
        replace(PENDING_ROW, item=f"{n}", state=ItemState(state))
        for n, state in enumerate(["waiting", "waiting", "released"])
    ]
    many += [replace(PENDING_ROW, item=f"other {n}", table="other") for n in range(4)]
    for state in ("", "waiting", "released"):
        view = page.view(energy, energy.partition(DAY), many, state=state)
        table = next(choice for choice in view["tables"] if choice["value"] == "readings")
        assert (
            page.view(energy, energy.partition(DAY), many, table="readings", state=state)["matching"] == table["count"]
        )
    view = page.view(energy, energy.partition(DAY), many, table="readings")
    assert {choice["value"]: choice["count"] for choice in view["states"]} == {"all": 3, "waiting": 2, "released": 1}


@given(states=st.tuples(st.integers(0, 250), st.integers(0, 150)), state=st.sampled_from(["", "waiting", "released"]))
@settings(max_examples=examples(30), deadline=None)
def test_a_hundred_at_a_time_show_each_item_once(energy, states: tuple[int, int], state: str) -> None:
    of_each = dict(zip(("waiting", "released"), states, strict=True))
    many = [
        replace(PENDING_ROW, item=f"{name}{n}", state=ItemState(name))
        for name, count in of_each.items()
        for n in range(count)
    ]
    seen, later = [], True
    while later:
        number = len(seen) // page.PAGE + 1
        view = page.view(energy, energy.partition(DAY), many, state=state, number=str(number))
        assert len(view["items"]) <= page.PAGE
        seen += [each["item"].item for each in view["items"]]
        later = view["later"]
    assert seen == [item.item for item in many if state in ("", item.state)]


def test_the_page_follows_a_decision(energy) -> None:
    (first, _) = items(energy)
    review.release(
        energy,
        energy.partition(DAY),
        named=[first.item],
        accept=[TOO_MUCH],
        actor="ada",
        reason="<b>seen</b>",
    )
    text = shown(energy)
    assert "by ada: &lt;b&gt;seen&lt;/b&gt;" in text
    assert 'class="badge releasing"' in text
    # What was released may be taken back, not released again.
    about = [command for command in commands(text) if first.item in command]
    assert [command.split()[2] for command in about] == ["discard"]


def test_it_is_served_to_who_may_see_the_runs(energy, http, viewing) -> None:
    place = f"{PLACE}/{DAY}/quarantine"
    assert http.get(place).status_code == 401
    response = http.get(place, headers=viewing)
    assert response.status_code == 200
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert http.get(f"{place}?table=readings&state=waiting", headers=viewing).status_code == 200


@pytest.mark.parametrize(
    "query", ["table=nothing", "state=lost", "page=2", "page=-1", "page=1e9", f"page={'9' * 400}", "page=%C2%B2"]
)
def test_what_is_not_there_is_not_found(energy, http, access, query: str) -> None:
    assert http.get(f"{PLACE}/{DAY}/quarantine?{query}", headers=access).status_code == 404


def test_what_nobody_can_accept_is_not_proposed(energy) -> None:
    (batch,) = items(energy, REFUSED_WHOLE)
    (offered,) = [
        name for name, _ in page._item(energy, replace(batch, reasons=("types",)))["commands"] if "Release" in name
    ]
    assert offered == "Release it, if it passes the current expectations"
