"""`perennial env` and `perennial run`: other programs with the environment of the embedded servers."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typed import COMMAND, NOWHERE, PATHS, Terminal, run

from perennial.embedded import environment
from perennial.services.credentials import login

SHOW = "import json, os, sys; print(json.dumps([dict(os.environ), sys.argv[1:]]))"


def test_a_shell_that_evaluates_env_has_it_exactly(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    awkward = "a b'c\"d$(touch x)`e`\n;é"
    monkeypatch.setenv("PERENNIAL_COMMIT", awkward)
    monkeypatch.setenv("PYTHONPATH", PATHS["PYTHONPATH"])
    printed = run("env").stdout
    script = f'eval "$1"; exec {shlex.quote(sys.executable)} -c {shlex.quote(SHOW)}'
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", printed], env={"PATH": ""}, cwd=home, capture_output=True, text=True, check=True
    )
    seen = json.loads(done.stdout)[0]
    expected = environment.tool_environment()
    assert {name: seen[name] for name in expected if name != "PATH"} == {
        name: value for name, value in expected.items() if name != "PATH"
    }
    assert seen["PERENNIAL_COMMIT"] == awkward


def test_env_as_json_is_the_same(home: Path) -> None:
    told = json.loads(run("env", "--json").stdout)
    assert told["MLFLOW_TRACKING_PASSWORD"] == login().password
    assert told.keys() == environment.tool_environment().keys()


def test_on_a_terminal_env_warns_of_secrets(home: Path) -> None:
    shell = Terminal.start("env")
    assert shell.end() == 0
    assert "contain secrets" in shell.shown
    assert run("env").stderr == ""


def test_run_passes_arguments_environment_and_exit_code(home: Path) -> None:
    arguments = ["--json", "-x", "a b", "--", "--debug"]
    done = run("run", "--", sys.executable, "-c", SHOW, *arguments)
    seen, given = json.loads(done.stdout)
    assert given == arguments
    assert seen["AIRFLOW_HOME"] == str(home / "airflow")
    assert seen["HOME"] == os.environ["HOME"]
    assert run("run", sys.executable, "-c", "raise SystemExit(42)", "--help").returncode == 42


def test_run_passes_signals_on_and_shows_no_secret(home: Path) -> None:
    code = "import signal, sys, time\nprint('ready', flush=True)\ntime.sleep(60)"
    with subprocess.Popen([*COMMAND, "run", sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        line = Path(f"/proc/{process.pid}/cmdline").read_text()
        assert line.split("\0")[:3] == [sys.executable, "-c", code], "the program took the place of the command"
        assert login().password not in line
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == -signal.SIGTERM


def test_run_ignores_no_signal_that_the_program_expects(home: Path) -> None:
    ignored = run("run", "grep", "SigIgn", "/proc/self/status").stdout.split()[1]
    assert not int(ignored, 16) & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)


def test_run_says_what_cannot_be_run(home: Path, tmp_path: Path) -> None:
    done = run("run", "no-such-program")
    assert (done.returncode, done.stderr) == (127, "There is no program 'no-such-program'.\n")
    (tmp_path / "plain").write_text("")
    done = run("run", str(tmp_path / "plain"))
    assert done.returncode == 126
    assert "Permission denied" in done.stderr


def test_without_servers_both_say_how_to_start_them(tmp_path: Path) -> None:
    for words in (("env",), ("run", "true")):
        done = run(*words, PERENNIAL_HOME=str(tmp_path))
        assert (done.returncode, done.stdout) == (1, "")
        assert "perennial up" in done.stderr


def test_with_services_elsewhere_nothing_need_run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_HOME", raising=False)
    done = run("run", "sh", "-c", "echo $MLFLOW_TRACKING_URI $AIRFLOW_HOME", PERENNIAL_HOME=str(tmp_path), **NOWHERE)
    assert done.stdout == f"{NOWHERE['PERENNIAL_MLFLOW_URI']}\n", done.stderr
