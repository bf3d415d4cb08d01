"""Acts, over Airflow's real application: who may, with which reason, what is asked of Airflow, and in whose name."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import airflow_world
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from perennial.pages.forms import build, fields
from perennial.pages.forms.form import Facts
from perennial.registry import ledger
from perennial.use_case import UseCase

ACTS = "/perennial/use_cases/energy/actions"
EVERY = ("retrain", "answer", "roll-back", "resume")
PASSWORDS = {"ada": "lovelace", "otto": "hahn", "uma": "rani", "vera": "rubin"}


@pytest.fixture(scope="module")
def energy(project, energy: UseCase, http) -> UseCase:
    """Two versions have served; Airflow knows the DAGs."""
    airflow_world.register_dags()
    for version, partition in enumerate(("2024-01-03", "2024-01-05"), start=1):
        record(energy, version, partition)
    return energy


def record(use_case: UseCase, version: int, partition: str) -> None:
    ledger.record(
        use_case,
        partition=partition,
        action="promoted",
        model_version=version,
        previous_version=version - 1 or None,
        model_run=f"run-{version}",
        effective_from=use_case.partition(partition).end,
        actor="gate",
        reason="better",
        evidence={},
    )


@pytest.fixture(scope="module")
def person(energy, http: TestClient) -> dict[str, dict[str, str]]:
    """The headers of each user."""
    return {user: login(http, user) for user in PASSWORDS}


def login(http: TestClient, user: str) -> dict[str, str]:
    response = http.post("/auth/token", json={"username": user, "password": PASSWORDS[user]})
    return {"Authorization": f"Bearer {response.json()['access_token']}"}


def shown(http: TestClient, headers: dict[str, str], act: str, **query: str) -> dict[str, str]:
    """What the form of an act holds, and its page as `page`."""
    response = http.get(f"{ACTS}/{act}", headers=headers, params=query)
    assert response.status_code == 200, response.text
    hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', response.text)
    return {name: unescape(value) for name, value in hidden} | {"page": response.text}


def send(http: TestClient, headers: dict[str, str], act: str, form: dict[str, str], **typed: str):
    data = {name: value for name, value in form.items() if name != "page"} | typed
    return http.post(f"{ACTS}/{act}", headers=headers, data=data, follow_redirects=False)


def run_of(http: TestClient, headers: dict[str, str], pipeline: str, run: str) -> dict:
    response = http.get(f"/api/v2/dags/energy.{pipeline}/dagRuns/{run}", headers=headers)
    assert response.status_code == 200, response.text
    return response.json()


def runs(http: TestClient, headers: dict[str, str], pipeline: str) -> int:
    return http.get(f"/api/v2/dags/energy.{pipeline}/dagRuns", headers=headers).json()["total_entries"]


def question(http: TestClient, headers: dict[str, str]) -> str:
    """A training run that waits for an answer."""
    form = shown(http, headers, "retrain")
    assert send(http, headers, "retrain", form, reason="ask me").status_code == 303
    airflow_world.ask("energy.training", form["as"])
    return form["as"]


@pytest.mark.parametrize("act", EVERY)
def test_a_viewer_sees_no_form_and_sends_none(http, person, act: str) -> None:
    for response in (
        http.get(f"{ACTS}/{act}", headers=person["vera"]),
        http.post(f"{ACTS}/{act}", headers=person["vera"], data={"reason": "because"}),
    ):
        assert response.status_code == 403
        assert "does not let you do this" in response.text


@pytest.mark.parametrize("act", EVERY)
@pytest.mark.parametrize("user", ["uma", "otto", "ada"])
def test_users_operators_and_admins_see_every_form(http, person, act: str, user: str) -> None:
    assert http.get(f"{ACTS}/{act}", headers=person[user]).status_code == 200


@pytest.mark.parametrize("act", EVERY)
def test_without_a_login_there_is_nothing(energy, http, act: str) -> None:
    http.cookies.clear()
    assert http.get(f"{ACTS}/{act}").status_code == 401
    assert http.post(f"{ACTS}/{act}", data={"reason": "because"}).status_code == 401


def test_there_is_no_other_act(http, person) -> None:
    assert http.get(f"{ACTS}/delete", headers=person["ada"]).status_code == 404


def test_retraining_carries_user_reason_and_parameters(http, person) -> None:
    form = shown(http, person["uma"], "retrain")
    assert "against the champion v2" in form["page"]
    response = send(http, person["uma"], "retrain", form, reason="  new meters ", window_end="2024-01-04", alpha="2.5")
    assert response.status_code == 303
    assert response.headers["location"].startswith("/perennial/use_cases/energy?done=retrain&of=training&run=manual__")
    run = run_of(http, person["ada"], "training", form["as"])
    assert (run["triggering_user_name"], run["note"]) == ("uma", "new meters")
    assert run["conf"] == {"window_end": "2024-01-04", "alpha": 2.5}


def test_airflows_audit_log_names_the_person(http, person) -> None:
    form = shown(http, person["otto"], "retrain")
    send(http, person["otto"], "retrain", form, reason="logged")
    query = {"dag_id": "energy.training", "run_id": form["as"], "event": "trigger_dag_run"}
    events = http.get("/api/v2/eventLogs", headers=person["ada"], params=query).json()["event_logs"]
    assert [entry["owner"] for entry in events] == ["otto"]


def test_a_form_sent_twice_starts_one_run(http, person) -> None:
    form = shown(http, person["uma"], "retrain")
    before = runs(http, person["ada"], "training")
    assert "done=retrain&" in send(http, person["uma"], "retrain", form, reason="once").headers["location"]
    assert "done=already&" in send(http, person["uma"], "retrain", form, reason="once").headers["location"]
    assert runs(http, person["ada"], "training") == before + 1


@pytest.mark.parametrize(("act", "pipeline"), [("retrain", "training"), ("roll-back", "champion")])
@pytest.mark.parametrize("typed", ["", " \r\n\t ", "x" * 501])
def test_an_invalid_reason_returns_the_form_and_does_nothing(http, person, act, pipeline, typed) -> None:
    before = runs(http, person["ada"], pipeline)
    response = send(http, person["ada"], act, shown(http, person["ada"], act), reason=typed, to="1", pause="7d")
    assert response.status_code == 422
    assert 'id="reason-problem"' in response.text
    assert typed.strip() in response.text
    assert act == "retrain" or 'value="7d"' in response.text
    assert runs(http, person["ada"], pipeline) == before


@pytest.mark.parametrize(
    ("name", "typed"), [("alpha", "-1"), ("alpha", "much"), ("window_start", "2023-12-31"), ("seed", "1.5")]
)
def test_a_wrong_parameter_is_shown_at_its_field(http, person, name: str, typed: str) -> None:
    response = send(http, person["ada"], "retrain", shown(http, person["ada"], "retrain"), reason="r", **{name: typed})
    assert response.status_code == 422
    assert f'id="{name}-problem"' in response.text
    assert f'value="{typed}"' in response.text


def test_what_was_typed_is_escaped(http, person) -> None:
    evil = '"><script>alert(1)</script>'
    response = send(http, person["ada"], "roll-back", shown(http, person["ada"], "roll-back"), reason="", pause=evil)
    assert response.status_code == 422
    assert evil not in response.text


def test_rollback_form_offers_served_versions_and_the_effect(http, person) -> None:
    page = shown(http, person["uma"], "roll-back")["page"]
    assert '<option value="1" selected>v1: deployed' in page
    assert 'value="2"' not in page.partition("<select")[2].partition("</select>")[0]
    assert "v2 is champion now: gate promoted it" in page
    assert "predicts from partition 2024-01-06 on" in page


def test_rollback_sends_version_pause_and_reason_to_airflow(http, person) -> None:
    form = shown(http, person["otto"], "roll-back", to="1")
    assert send(http, person["otto"], "roll-back", form, to="1", pause="7d", reason="wrong at night").status_code == 303
    run = run_of(http, person["ada"], "champion", form["as"])
    assert run["triggering_user_name"] == "otto"
    assert run["conf"] == {"action": "rollback", "to": 1, "pause": "7d", "reason": "wrong at night"}


@pytest.mark.parametrize(
    ("typed", "message"),
    [({"to": "7"}, "has never served"), ({"to": "2"}, "serves already"), ({"to": ""}, "Choose a version")],
)
def test_rollback_to_an_unusable_version_is_refused_early(http, person, typed, message) -> None:
    response = send(http, person["ada"], "roll-back", shown(http, person["ada"], "roll-back"), reason="r", **typed)
    assert response.status_code == 422
    assert message in unescape(response.text)


def test_rollback_is_refused_if_the_champion_has_changed(http, person) -> None:
    form = shown(http, person["ada"], "roll-back") | {"serving": "1"}
    response = send(http, person["ada"], "roll-back", form, to="1", reason="r")
    assert response.status_code == 422
    assert "v2 has become champion in the meantime" in response.text


def test_there_is_nothing_to_resume_without_a_pause(http, person) -> None:
    assert "not paused" in shown(http, person["ada"], "resume")["page"]
    assert send(http, person["ada"], "resume", {}, reason="r").status_code == 409


@pytest.mark.parametrize("choice", ["Approve", "Reject"])
def test_an_answer_carries_person_and_reason_to_the_task(http, person, choice: str) -> None:
    run = question(http, person["ada"])
    form = shown(http, person["uma"], "answer", run=run)
    assert "<td>holdout rows</td>" in form["page"]
    assert "<script>no" not in form["page"]
    response = send(http, person["uma"], "answer", form, choice=choice, reason="seen it on site-0")
    assert f"done={choice.lower()}&" in response.headers["location"]
    detail = http.get(
        f"/api/v2/dags/energy.training/dagRuns/{run}/taskInstances/approve/-1/hitlDetails", headers=person["ada"]
    ).json()
    assert detail["chosen_options"] == [choice]
    assert detail["responded_by_user"]["name"] == "uma"
    assert detail["params_input"] == {"reason": "seen it on site-0"}
    with airflow_world.session() as opened:
        instance = airflow_world.task_instance(opened, "energy.training", run, "approve")
        assert instance.state == "scheduled", "the task goes on"


def test_a_second_response_shows_who_was_first(http, person) -> None:
    run = question(http, person["ada"])
    form = shown(http, person["uma"], "answer", run=run)
    assert send(http, person["otto"], "answer", form, choice="Reject", reason="first").status_code == 303
    response = send(http, person["uma"], "answer", form, choice="Approve", reason="second")
    assert response.status_code == 409
    assert "otto answered Reject" in response.text


def test_an_answer_needs_a_choice(http, person) -> None:
    run = question(http, person["ada"])
    response = send(http, person["uma"], "answer", {"run": run}, reason="r", choice="Perhaps")
    assert response.status_code == 422
    assert "Choose one of the two buttons" in response.text


FOREIGN = {"origin": "https://elsewhere.example"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "same-origin"}, 303),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "http://testserver"}, 403),
        ({"origin": "http://testserver"}, 303),
        (FOREIGN, 403),
        ({"origin": "null"}, 403),
        ({}, 403),
    ],
)
def test_with_the_cookie_only_our_own_pages_can_send(http, person, headers: dict[str, str], status: int) -> None:
    form = shown(http, person["uma"], "retrain")
    cookie = {"cookie": f"_token={person['uma']['Authorization'].removeprefix('Bearer ')}"}
    assert send(http, headers | cookie, "retrain", form, reason="by cookie").status_code == status


def test_a_token_is_no_cookie(http, person) -> None:
    form = shown(http, person["uma"], "retrain")
    assert send(http, person["uma"] | FOREIGN, "retrain", form, reason="by token").status_code == 303


def test_what_was_done_is_shown_only_for_existing_runs(energy, http, person) -> None:
    from perennial.pages.actions import done

    form = shown(http, person["uma"], "retrain")
    query = {"done": "retrain", "of": "training", "run": form["as"]}
    assert done(energy, query) is None
    send(http, person["uma"], "retrain", form, reason="told")
    notice = done(energy, query)
    assert notice is not None
    assert (notice.run.by, notice.run.note, notice.run.state) == ("uma", "told", "queued")
    for wrong in ({"done": "sold"}, {"of": "features"}, {"run": "<b>"}, {"run": ""}):
        assert done(energy, query | wrong) is None


def facts(entries=(), **state) -> Facts:
    from perennial.pages.airflow_state import Pipeline

    options = {"known": True} | state
    return Facts(entries, {name: Pipeline(name, f"energy.{name}", **options) for name in ("training", "champion")})


@pytest.mark.parametrize("act", ["retrain", "resume", "answer"])
def test_what_airflow_does_not_know_cannot_be_sent(energy, act) -> None:
    form = build.build(energy, act, facts(known=False), {"reason": "r"}, sent=True)
    assert form.blocked
    assert form.call is None


def test_a_paused_dag_and_current_runs_are_shown_before(energy) -> None:
    form = build.build(energy, "retrain", facts(paused=True, active=2), {}, sent=False)
    assert "is paused in Airflow" in form.warnings[0]
    assert "2 runs are running or queued" in form.warnings[1]


def test_before_the_first_champion_there_is_nothing_to_roll_back(energy) -> None:
    assert "no champion yet" in build.build(energy, "roll-back", facts(), {}, sent=False).blocked


def test_a_pause_is_shown_and_can_be_resumed(energy) -> None:
    until = (datetime.now(UTC) + timedelta(days=7)).isoformat()
    (first, second) = [entry for entry in ledger.entries(energy) if entry.action == "promoted"]
    back = ledger.Entry(
        **vars(first)
        | {"event_id": "rollback:x", "action": "rolled-back", "actor": "bob", "reason": "wrong at night"}
        | {"evidence": {ledger.PAUSE_UNTIL: until}, "recorded_at": second.recorded_at + timedelta(seconds=1)}
    )
    paused = facts((first, second, back))
    assert (
        "approves or rejects every promotion"
        not in build.build(energy, "retrain", facts((first,)), {}, sent=False).consequences[2]
    )
    assert (
        "a person approves or rejects every promotion"
        in build.build(energy, "retrain", paused, {}, sent=False).consequences[2]
    )
    form = build.build(energy, "resume", paused, {"reason": "mended"}, sent=True)
    assert "by bob: wrong at night" in form.consequences[0]
    assert form.call is not None
    assert form.call.body["conf"] == {"action": "resume", "reason": "mended"}


@given(st.text(max_size=600))
def test_a_reason_is_refused_or_kept_trimmed(typed: str) -> None:
    kept, problem = fields.reason({"reason": typed})
    assert problem or (0 < len(kept) <= fields.LONGEST and kept == kept.strip() and "\x00" not in kept)


@given(st.dictionaries(st.sampled_from(["window_start", "window_end", "seed", "force", "alpha", "x"]), st.text()))
def test_whatever_is_typed_is_a_parameter_or_a_problem(energy, typed: dict[str, str]) -> None:
    params, problems = fields.parse(energy, energy.params, typed)
    assert params.keys() <= set(energy.params.model_fields)
    if not problems:
        energy.params(**params)
