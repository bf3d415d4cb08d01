"""A rollout on real stores: two servers follow the ledger, and what they recorded decides."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pipelines import run_features_until, train
from registered import promote
from rollout_cases import example_rows
from starlette.testclient import TestClient

from perennial import CanaryStage, Rollout, gate, lake
from perennial.gate import GateDecision, rollback, rollout, rollout_evidence
from perennial.gate.rollback_plan import RollbackRequest
from perennial.gate.rollout_request import RolloutRequest
from perennial.registry import ledger, rollouts
from perennial.served_predictions import carrying
from perennial.served_predictions.writing import PredictionLog
from perennial.serving import tokens
from perennial.serving.access import AccessControl
from perennial.serving.application import application
from perennial.serving.champions import Champions
from perennial.use_case import UseCase

pytestmark = [pytest.mark.usefixtures("project", "mlflow_server"), pytest.mark.timeout(600)]
POLICY = Rollout(
    shadow=timedelta(microseconds=1),
    canary=(CanaryStage(share=0.5, period=timedelta(microseconds=1)),),
    entity=("site", "meter", "read_at"),
    min_requests=10,
)


@pytest.fixture(scope="module")
def energy(project, mlflow_server, energy: UseCase) -> UseCase:
    """v1 is the champion; v2 is equal to it."""
    run_features_until(energy, "2024-01-03")
    for number in (1, 2):
        assert train(energy, f"run-{number}", window_end="2024-01-02", force=True) == number
    return energy.model_copy(update={"rollout": POLICY})


class Server:
    """One of several servers, each with a log of its own."""

    def __init__(self, use_case: UseCase, folder: Path, token: str) -> None:
        self.champions = Champions([use_case])
        self.champions.refresh()
        self.log = folder
        self.client = TestClient(application(self.champions, AccessControl(), PredictionLog(folder)))
        self.client.headers["Authorization"] = f"Bearer {token}"

    def ask(self, examples: list[dict[str, Any]]) -> list[int]:
        """Which version answers each example."""
        answer = self.client.post("/v1/use_cases/energy/predict", json={"examples": examples, "at": AT}).json()
        return [each.get("model_version", answer["model_version"]) for each in answer["predictions"]]

    def settled(self) -> None:
        """Wait until nothing waits to be predicted in shadow; that gathers for a second."""
        counted = -1
        while counted != (now := sum(path.stat().st_size for path in self.log.glob("*"))):
            counted = now
            time.sleep(3.0)


AT = "2024-01-03T12:00:00Z"


@pytest.fixture
def servers(energy: UseCase, tmp_path: Path) -> list[Server]:
    """Two, that serve v1; nothing was served."""
    for table in ("ledger", "served_predictions"):
        if lake.table(f"energy.{table}") is not None:
            lake.catalog().drop_table(f"energy.{table}")
    promote(energy, 1)
    token = tokens.create(tmp_path.name)[0]
    return [Server(energy, tmp_path / name, token) for name in ("one", "two")]


@pytest.fixture
def begin(energy: UseCase, servers: list[Server]) -> Callable[[], None]:
    def begun() -> None:
        numbers = {"challenger": 2, "champion": 1, "partition": "2024-01-02", "rows": 96, "rules": [], "metrics": {}}
        start = energy.partition("2024-01-02").end
        gate.finalize(
            energy, GateDecision(promote=True, outcome="promote", reason="b", effective_from=start, **numbers)
        )
        follow(servers)

    return begun


def follow(servers: list[Server]) -> None:
    for server in servers:
        server.champions.refresh()


def requests(energy: UseCase, count: int = 40) -> list[dict[str, Any]]:
    names = ("site", "meter", "hour_sin", "hour_cos")
    rows = example_rows(energy, "2024-01-03")[-count:]
    return [{name: row[name] for name in names} | {"read_at": row["read_at"].isoformat()} for row in rows]


def act(energy: UseCase, run: str, action: str) -> None:
    rollout.advance(energy, RolloutRequest(action=action, reason="a test"), made_by=run, actor="ann")


def test_both_servers_record_pairs_which_the_lake_joins(energy, servers, begin) -> None:
    begin()
    asked = requests(energy)
    assert {*servers[0].ask(asked[:20]), *servers[1].ask(asked[20:])} == {1}
    for server in servers:
        server.settled()
        carrying.carry(server.log)
    seen = rollout_evidence.read(energy, rollouts.under_way(energy, ledger.entries(energy)))
    assert (len(seen.pairs) + seen.unlabelled, seen.predicted, seen.errors) == (40, 40, 0)
    # v1 and v2 are the same, to the bit; live, in shadow and from whichever server.
    assert (seen.pairs["challenger"] == seen.pairs["champion"]).all()


def test_both_servers_give_an_entity_to_the_same_version(energy, servers, begin) -> None:
    begin()
    act(energy, "a", "advance")
    follow(servers)
    answered = [server.ask(requests(energy)) for server in servers]
    assert answered[0] == answered[1]
    assert set(answered[0]) == {1, 2}


@pytest.mark.parametrize("how", ["abort", "promote", "rollback"])
def test_whatever_ends_it_is_followed_by_both(energy, servers, begin, how: str) -> None:
    begin()
    act(energy, "a", "advance")
    follow(servers)
    assert set(servers[0].ask(requests(energy))) == {1, 2}
    if how == "rollback":
        act(energy, "b", "advance")
        rollback.roll_back(energy, RollbackRequest(to=1, reason="a test"), made_by="r", actor="ann")
    else:
        act(energy, "b", "abort" if how == "abort" else "advance")
    follow(servers)
    expected = {2} if how == "promote" else {1}
    assert [set(server.ask(requests(energy))) for server in servers] == [expected, expected]
