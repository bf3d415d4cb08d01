"""The documentation's commands, run on a small world that has been through what the documentation tells of.

The documentation speaks of `flights`, months and real servers. Here the use case `energy` lives three days in seconds,
on a real PostgreSQL, lake and MLflow; names are translated. What starts something in Airflow, or servers, is run with
`--dry-run`, which goes all the way up to that; `tests/end_to_end` goes further.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from command_checks import CHECKS, parse
from fenced import ROOT, commands
from pipelines import run_features_until, train
from typer.testing import CliRunner, Result

from perennial import discovery
from perennial.cli import app
from perennial.monitoring import monitor
from perennial.registry import ledger, tracking
from perennial.use_case import UseCase

#: They start servers or runs of Airflow, or take back what other commands look at.
DRY = ("up", "down", "replay", "trigger", "rollback", "resume", "apply", "quarantine release", "quarantine discard")
#: Exit codes, beside 0, that say that a command has done its work: a row is still wrong.
ALSO = {"quarantine release": (1,)}
#: `ahead` needs a day that a champion has scored, `alerts` a route and a receiver, `backtest` more days than these,
#: `deploy` begins again as another process, `doctor` takes as long as all others together, `dossier` needs a version
#: that was there in 2024, `explain`, `predict` and `staleness` need a champion that MLflow knows, `retire` changes a
#: use case's folder, `run` replaces its process, `serve` does not end, `ask` needs it, and `telemetry` writes a folder.
ELSEWHERE_RUN = {
    "ahead": "tests/cli/test_ahead.py",
    "alerts": "tests/cli/test_alerts.py",
    "ask": "tests/serving/test_server.py",
    "backtest": "tests/cli/test_backtest.py",
    "deploy": "tests/cli/test_deploy.py",
    "doctor": "tests/doctor",
    "dossier": "tests/dossier/test_contents.py",
    "incidents": "tests/cli/test_incidents.py",
    "init": "tests/test_distribution.py",
    "explain": "tests/analysis/test_explanation.py",
    "predict": "tests/cli/test_serving.py",
    "retire": "tests/cli/test_retire.py",
    "run": "tests/cli/test_tools.py",
    "serve": "tests/serving/test_server.py",
    "staleness": "tests/analysis/test_staleness.py",
    "telemetry": "tests/telemetry/test_export.py",
    "upgrade": "tests/test_distribution.py",
}
#: Programs whose commands are not run here, and what stands for that; `test_commands.py` checks each of their words.
ELSEWHERE = {
    "make": "below, by `make --dry-run`",
    "curl": "against Airflow's own description of its API; for real in tests/end_to_end/test_servers.py",
    "jq": "its filters are compiled by jq",
    "docker": "against docker-compose.yaml, which tests/end_to_end/test_team_setup.py runs",
    "uv": "it would ask the package index",
    "cp": "the file is there",
    "rm": "it would delete the home",
    "source": "the environment is this one",
    "pytest": "tests/new_use_case runs the tests of what `perennial new` writes",
}
DOCUMENTED = {command.words for command in commands()}
#: Without repetition. `login` is last: once there is one, a dry run waits for an Airflow that never comes.
PERENNIAL = sorted(
    {words[words.index("perennial") + 1 :] for words in DOCUMENTED if "perennial" in words},
    key=lambda words: (words[0] == "login", words[0] != "new", words),
)
LAST = "2024-01-03"
BREAKS = "expect_column_values_to_be_between(kwh)"


@pytest.fixture(scope="module")
def lived(project: Path, mlflow_server: str) -> Iterator[UseCase]:
    """Three days of the use case `energy`: a model, versions that served, a rollback, and rows in quarantine."""
    energy = discovery.load("energy")
    source = energy.module("source")
    honest = source.readings
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(source, "readings", lambda partition: _with_a_wrong_row(honest(partition)))
        run_features_until(energy, LAST)
        monitor.monitor(energy, energy.partition(LAST))
        _serve(energy, train(energy, "first"))
        patched.chdir(project)
        patched.syspath_prepend(project / "include")
        _write_sales(project / "sales.csv")
        yield energy


def _serve(energy: UseCase, version: int) -> None:
    """The model and two more are promoted, and the second serves again, as far as the ledger goes: what the gate would
    need half a minute for."""
    run_id = tracking.training_run(energy, version).id
    for number, action, previous in (
        (1, "promoted", None),
        (2, "promoted", 1),
        (3, "promoted", 2),
        (2, "rolled-back", 3),
    ):
        ledger.record(
            energy,
            partition=LAST,
            action=action,
            model_version=number,
            previous_version=previous,
            model_run=run_id,
            effective_from=energy.partition(LAST).end,
            actor="ada",
            reason="for the documentation",
            evidence={"pause_until": None},
            event_id=f"{action} {number}",
        )


def _with_a_wrong_row(rows: pa.Table) -> pa.Table:
    return rows.set_column(3, "kwh", pa.array([5000.0, *rows["kwh"].to_pylist()[1:]]))


def _write_sales(file: Path) -> None:
    """What somebody has who runs `perennial new sales --data sales.csv`: two years of three stores."""
    days = [datetime(2023, 1, 1, tzinfo=UTC) + timedelta(days=number) for number in range(731)]
    rows = [
        f"{day:%Y-%m-%d},{store},{3 + (day.day * number) % 5},{100 + 37 * (day.toordinal() % 11) + 10 * number}"
        for day in days
        for number, store in enumerate(("north", "south", "east"), 1)
    ]
    file.write_text("\n".join(["day,store,price,revenue", *rows]) + "\n")


def run(*words: str) -> Result:
    done = CliRunner().invoke(app, list(words))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def translated(words: tuple[str, ...]) -> list[str]:
    """The command about `energy` and its days, in place of `flights` and its months."""
    replacements = {"flights": "energy", "min_rows": BREAKS}
    words_here = []
    for before, word in zip(("", *words), words, strict=False):
        meant = replacements.get(word, word)
        if "show" in words and re.fullmatch("[0-9a-f]{4,}", word):
            meant = _waiting()
        if before == "flights" and word.isdecimal():  # A version; here only one was trained.
            meant = "1"
        if before == "--to" and word == "2":
            meant = "3"
        meant = re.sub(r"\b2013-(\d\d)\b", lambda month: f"2024-01-{min(int(month[1]), 3):02d}", meant)
        words_here.append(re.sub(r"^max_iter=\d+$", "alpha=2", meant))
    return words_here


def _waiting() -> str:
    items = json.loads(run("quarantine", "list", "energy", "--partition", LAST, "--json").stdout)
    return str(items[0]["item"])[:6]


@pytest.mark.parametrize("words", [words for words in PERENNIAL if words[0] not in ELSEWHERE_RUN], ids=" ".join)
def test_a_command_does_what_it_is_for(lived: UseCase, words: tuple[str, ...]) -> None:
    path, parsed = parse(list(words))
    if path == "new":
        _forget_sales()
    is_dry = path in DRY and not parsed.get("dry_run")
    arguments = [*translated(words), *(["--dry-run"] if is_dry else [])]
    if path in ("up", "down"):  # What they look for in a process is remembered there.
        own = subprocess.run(
            [sys.executable, "-m", "perennial.cli", *arguments], capture_output=True, text=True, timeout=120
        )
        code, result = own.returncode, own.stdout + own.stderr
    else:
        done = run(*arguments)
        code, result = done.exit_code, done.output
    assert code in (0, *ALSO.get(path, ())), result
    assert result.strip()


def _forget_sales() -> None:
    """What an earlier `perennial new sales` wrote: it never touches what exists."""
    for folder in ("include/use_cases/sales", "tests/use_cases/sales"):
        shutil.rmtree(folder, ignore_errors=True)
    Path("feature_repo/sales.py").unlink(missing_ok=True)


@pytest.mark.parametrize("words", sorted(words for words in DOCUMENTED if words[0] == "make"), ids=" ".join)
def test_make_knows_what_to_do(words: tuple[str, ...]) -> None:
    done = subprocess.run([*words, "--dry-run"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_nothing_is_left_out() -> None:
    for words in DOCUMENTED:
        is_run = "perennial" in words or words[0] == "make"
        assert is_run or words[0] in ELSEWHERE, " ".join(words)
        assert words[0] in CHECKS
    assert set(ELSEWHERE) <= {words[0] for words in DOCUMENTED}, "it says of a program that is not named any more"
