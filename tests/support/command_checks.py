"""Checks of the commands that the documentation shows: each program's own parser, routes and files."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import typer
import yaml
from fenced import ROOT

from perennial import discovery
from perennial.cli import app
from perennial.runs import trigger
from perennial.serving import requests
from perennial.settings import Settings

#: Use cases that the documentation makes, beside those that are there; `energy` is that of tests/second_use_case.
MADE = ("sales",)
#: Options of programs that are not ours: only these are used, so that a misspelt one is seen.
_OPTIONS = {
    "compose up": {"--build", "--detach", "--wait", "--scale"},
    "compose exec": set(),
    "docker build": {"--file", "--tag"},
    "docker run": {"--env-file", "--env", "--publish", "--volume", "--stop-timeout"},
    "uv pip compile": {
        *("--universal", "--no-annotate", "--all-extras", "--generate-hashes", "--no-emit-index-url"),
        *("--python-version", "-o"),
    },
}


def _perennial(arguments: list[str]) -> None:
    """Typer's own parser takes it, and so does what knows the use case, its partitions and parameters."""
    path, parsed = parse(arguments)
    name = parsed.get("use_case") or parsed.get("name")
    if not name or path == "new" or name in MADE:
        return
    use_case = discovery.load(name)
    for option in ("partition", "first", "last", "logged"):
        if parsed.get(option):
            use_case.partition(parsed[option])
    if path == "trigger":
        from perennial.cli.pipelines import _params

        trigger.check_request(use_case, parsed["pipeline"], parsed["partition"], _params(parsed["param"] or []))


def parse(arguments: list[str]) -> tuple[str, dict[str, Any]]:
    """The command's path, such as `quarantine list`, and the values of its arguments and options.

    Raises:
        click.UsageError: there is no such command or option, or a value cannot be.
    """
    command: Any = typer.main.get_command(app)
    context = command.make_context("perennial", list(arguments))
    path: list[str] = []
    while hasattr(command, "resolve_command"):
        name, command, left = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, left, parent=context)
        path.append(name)
    return " ".join(path), context.params


def _make(arguments: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for argument in arguments:
        name, is_variable, _ = argument.partition("=")
        pattern = rf"\$\({name}\)|^{name} \?=" if is_variable else rf"^{name}:"
        assert re.search(pattern, makefile, re.MULTILINE), f"the Makefile has no {argument}"


def _curl(arguments: list[str]) -> None:
    """The address is one of Airflow's API, by its own description, and the body what that takes."""
    url, method, body = _request(arguments)
    path = urlsplit(url).path
    if urlsplit(url).port == Settings.model_fields["serving_port"].default:
        _check_prediction(path, method, body)
        return
    if path == "/auth/token":
        return
    route, operation = _operation(path, method)
    if body is None:
        return
    sent = json.loads(body)
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.validate(sent, schema | {"components": _api()["components"]})
    if route.endswith("/dagRuns"):
        use_case, pipeline = path.split("/")[4].split(".")
        assert {"dag_run_id", "logical_date"} <= sent.keys()
        trigger.check_request(discovery.load(use_case), pipeline, sent.get("partition_key"), sent.get("conf", {}))


def _check_prediction(path: str, method: str, body: str | None) -> None:
    """The request is for a prediction by a use case, and holds all that an example asked about must have of its own."""
    asked = re.fullmatch(r"/v1/use_cases/(\w+)/predict", path)
    assert asked, path
    assert method == "POST"
    request = requests.decode((body or "").encode())
    for example in request.examples:
        assert {*discovery.load(asked[1]).examples.request_features} <= example.keys()


def _request(arguments: list[str]) -> tuple[str, str, str | None]:
    """(address, method, body)"""
    urls, method, body, left = [], "", None, iter(arguments)
    for word in left:
        if word in ("-H", "-d", "-X"):
            value = next(left)
            method, body = (value if word == "-X" else method), (value if word == "-d" else body)
        elif not word.startswith("-"):
            urls.append(word)
        else:
            assert word in ("-sS", "-fsS"), word
    (url,) = urls
    return url, method or ("POST" if body else "GET"), body


@cache
def _api() -> dict[str, Any]:
    """Airflow's own description of its REST API."""
    import airflow.api_fastapi.core_api.openapi as described

    file = Path(described.__file__).with_name("v2-rest-api-generated.yaml")
    return yaml.load(file.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - it is safe


def _operation(path: str, method: str) -> tuple[str, dict[str, Any]]:
    for route, operations in _api()["paths"].items():
        if re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", route), path) and method.lower() in operations:
            return route, operations[method.lower()]
    raise AssertionError(f"Airflow has no {method} {path}")


def _jq(arguments: list[str]) -> None:
    words = [word for word in arguments if word != "-r"]
    assert len(words) in (1, 2)
    assert words[1:] in ([], [".perennial/login.json"])
    program = shutil.which("jq")
    if program is not None:  # It is no dependency; where it is there, it says whether it understands the filter.
        done = subprocess.run([program, "-n", words[0]], capture_output=True, text=True, timeout=60)
        assert "compile error" not in done.stderr, done.stderr
    else:
        assert words[0].startswith((".", "{"))


def _docker(arguments: list[str]) -> None:
    if arguments[0] == "build":
        _only_known("docker build", arguments[1:])
        assert (ROOT / arguments[arguments.index("--file") + 1]).exists()
        return
    if arguments[0] == "run":
        at = arguments.index("perennial:local")
        _only_known("docker run", arguments[1:at])
        assert arguments[at + 1] == "perennial"
        _perennial(arguments[at + 2 :])
        return
    services = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
    compose, act, *rest = arguments
    assert compose == "compose"
    if act == "exec":
        service, program, *inner = rest
        assert service in services
        assert program == "perennial"
        _perennial(inner)
        return
    _only_known(f"compose {act}", rest)
    for scaled in (word for word in rest if "=" in word):
        assert scaled.partition("=")[0] in services


def _only_known(program: str, words: list[str]) -> None:
    unknown = {word for word in words if word.startswith("-")} - _OPTIONS[program]
    assert not unknown, f"{program}: {unknown}"


def _uv(arguments: list[str]) -> None:
    pip, compiled, file, *rest = arguments
    assert (pip, compiled) == ("pip", "compile")
    assert (ROOT / file).exists()
    _only_known("uv pip compile", rest)


def _cp(arguments: list[str]) -> None:
    source, target = arguments
    assert (ROOT / source).exists()
    assert target == ".env"


def _pytest(arguments: list[str]) -> None:
    for folder in arguments:
        assert (ROOT / folder).exists() or folder in {f"tests/use_cases/{name}" for name in MADE}


def _rm(arguments: list[str]) -> None:
    assert arguments == ["-rf", ".perennial"], "nothing else is to be deleted by hand"


def _source(arguments: list[str]) -> None:
    assert arguments == [".venv/bin/activate"]


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "perennial": _perennial,
    "make": _make,
    "curl": _curl,
    "jq": _jq,
    "docker": _docker,
    "uv": _uv,
    "cp": _cp,
    "pytest": _pytest,
    "rm": _rm,
    "source": _source,
}
