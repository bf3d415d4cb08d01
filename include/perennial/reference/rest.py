"""docs/rest.md: the parameters of each DAG's runs over REST, and the addresses of Perennial's own pages.

They come from the DAG files and the forms that these hand to Airflow, and from the pages' routes. None of them is
imported: Airflow would have to be set up.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from perennial import dag_names, use_case
from perennial.reference import fields
from perennial.reference.markdown import page, paragraphs, table
from perennial.runs.params import params_model
from perennial.settings import settings

_INTRODUCTION = """\
Everything that a person can start or answer is one call of Airflow's own REST API; Perennial adds no API of its own.
The examples are in bash, with `curl` and `jq`, for a use case called `flights`. Whoever calls needs the same rights as
in Airflow's pages. All of the API is at `/docs` of the running Airflow.

## Log in

With `perennial up` running, in the checkout:

```bash
AIRFLOW=http://127.0.0.1:8080
TOKEN=$(jq '{username: .user, password: .password}' .perennial/login.json |
  curl -fsS "$AIRFLOW/auth/token" -H 'Content-Type: application/json' -d @- | jq -r .access_token)
api() { curl -sS -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' "$@"; }
```

A token ends after a day; ask for another one. Elsewhere, `$AIRFLOW/auth/token` takes the name and password of any user
whom the auth manager knows.

## Start a run

`POST /api/v2/dags/USE_CASE.PIPELINE/dagRuns` starts one; the pipelines follow below. The body has

- `dag_run_id`: a name of your choice. A second call with the same name returns 409 and starts nothing: a call may be
  repeated. Without it Airflow makes one up, and a repeated call starts another run.
- `logical_date`: null. Nothing in Perennial depends on it.
- `partition_key`: the name of the partition, such as `2013-03`, where the pipeline works on one. A partition that the
  use case does not have lets the run fail with an error that says so.
- `conf`: the parameters below. A value out of range, or a required one that is missing, returns 400 and the
  reason. A name that the DAG does not know lets the run fail.

The answer is the run, with its `state`: `queued`, `running`, `success` or `failed`.

`perennial trigger USE_CASE PIPELINE --param NAME=VALUE` makes the same call ([cli.md](cli.md#perennial-trigger)).
"""

_FOLLOWING = """\
## Follow a run

```bash
RUN="$AIRFLOW/api/v2/dags/flights.features/dagRuns/by-hand-2013-03"
api "$RUN" | jq -r .state
api "$RUN/taskInstances" | jq -r '.task_instances[] | [.task_id, .state] | @tsv'
api "$RUN/taskInstances/ingest/logs/1" | jq -r '.content[].event'
```

What the run has started by its asset event is found by the partition:

```bash
api "$AIRFLOW/api/v2/dags/flights.monitoring/dagRuns?partition_key_prefix_pattern=2013-03" | jq -r '.dag_runs[].state'
```

## Run again what failed

```bash
api "$RUN/clear" -d '{"dry_run": false, "only_failed": true}'
```

## Answer an approval

A training run that asks a person waits at its task `approve`, in the state `awaiting_input`. The question holds the
gate's rules, each with its number; the answer is `Approve` or `Reject`. A `reason` may be given, which the ledger
keeps. How to decide: [approve_and_roll_back.md](approve_and_roll_back.md).

```bash
TASKS="$AIRFLOW/api/v2/dags/flights.training/dagRuns/by-hand-1/taskInstances"
api "$TASKS/approve" | jq -r .state
api "$TASKS/approve/-1/hitlDetails" | jq -r .body
api -X PATCH "$TASKS/approve/-1/hitlDetails" \\
  -d '{"chosen_options": ["Approve"], "params_input": {"reason": "better on every slice"}}'
```
"""

_PAGES = """\
Perennial's pages are HTML, below Airflow's address, for whoever is logged in there and may read the use case."""


@dataclass(frozen=True)
class Example:
    """One call that starts a run of the use case `flights`."""

    says: str
    run: str
    partition: str | None = None
    conf: dict[str, Any] = field(default_factory=dict)

    @property
    def body(self) -> str:
        """What is posted."""
        fields = {"partition_key": self.partition, "conf": self.conf}
        return json.dumps({"dag_run_id": self.run, "logical_date": None} | {k: v for k, v in fields.items() if v})


EXAMPLES = {
    dag_names.FEATURES: (
        Example("One partition.", "by-hand-2013-03", "2013-03"),
        Example("The same, from the raw rows in the lake.", "computed-2013-03", "2013-03", conf={"refetch": False}),
    ),
    dag_names.SCORING: (Example("One partition.", "by-hand-2013-03", "2013-03"),),
    dag_names.MONITORING: (
        Example("One partition, for instance once more labels are in.", "by-hand-2013-03", "2013-03"),
    ),
    dag_names.TRAINING: (
        Example(
            "With parameters of the estimator; a person is to be asked.",
            "by-hand-1",
            conf={
                "window_start": "2013-01",
                "window_end": "2013-03",
                "max_iter": 200,
                "require_approval": "always",
                "force": True,
            },
        ),
    ),
    dag_names.CHAMPION: (
        Example(
            "Roll back to version 2; promotion pauses for a week.",
            "undo-1",
            conf={"reason": "wrong at night", "to": 2, "pause": "7d"},
        ),
        Example("Resume automatic promotion.", "resume-1", conf={"action": "resume", "reason": "sensor repaired"}),
    ),
    dag_names.ROLLOUT: (
        Example(
            "Put version 2 in shadow, to look at it.",
            "look-1",
            conf={"action": "begin", "version": 2, "reason": "is it as good on live requests?"},
        ),
        Example("End that.", "look-2", conf={"action": "abort", "reason": "seen enough"}),
    ),
}


def markdown() -> str:
    """The whole page."""
    lines = ["## Pipelines", ""]
    for pipeline in dag_names.ALL:
        lines += [f"### USE_CASE.{pipeline}", "", *_pipeline(pipeline), ""]
    lines += [_FOLLOWING, "## Pages", "", _PAGES, "", *table(("address", "what is there"), sorted(_pages()))]
    return page("REST", _INTRODUCTION, lines)


def _pipeline(pipeline: str) -> Iterator[str]:
    file = ast.parse((settings().project / "dags" / f"{pipeline}.py").read_text())
    yield paragraphs(ast.get_docstring(file))
    yield ""
    yield "Tasks:"
    yield ""
    yield from (f"- `{name}`: {meaning}" for name, meaning in _tasks(file))
    yield ""
    model = params_model(_Example(), pipeline)  # type: ignore[arg-type]
    takes = "No `partition_key`" if pipeline in dag_names.ON_DEMAND else "Takes `partition_key`"
    yield f"{takes}{', and as `conf`:' if model else '; no `conf`.'}"
    if model:
        yield ""
        yield from fields.of(model)
        if pipeline == dag_names.TRAINING:
            yield ""
            yield "A use case adds its estimator's own, such as `max_iter` here."
    for example in EXAMPLES[pipeline]:
        yield ""
        yield f"{example.says}"
        yield ""
        yield from ("```bash", f'api "$AIRFLOW/api/v2/dags/flights.{pipeline}/dagRuns" \\', f"  -d '{example.body}'")
        yield "```"


def _tasks(file: ast.Module) -> Iterator[tuple[str, str]]:
    """Name and meaning of each task of a DAG file: decorated functions, and the task in which a person decides."""
    for node in ast.walk(file):
        if isinstance(node, ast.FunctionDef) and any("task" in ast.unparse(one) for one in node.decorator_list):
            yield node.name, paragraphs(ast.get_docstring(node))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "po.approval_task":
            module = ast.parse((settings().project / "include/perennial/orchestration/approval.py").read_text())
            (function,) = (one for one in module.body if getattr(one, "name", "") == "approval_task")
            yield dag_names.APPROVE, paragraphs(ast.get_docstring(function))  # type: ignore[arg-type]


def _pages() -> Iterator[tuple[str, str]]:
    """Address and meaning of each page that can be looked at."""
    for file in (settings().project / "include/perennial/pages").glob("*.py"):
        tree = ast.parse(file.read_text())
        prefix = next(
            (_text(one.value) for call in _calls(tree, "APIRouter") for one in call.keywords if one.arg == "prefix"), ""
        )
        for node in tree.body:
            for route in getattr(node, "decorator_list", ()):
                if isinstance(node, ast.FunctionDef) and ast.unparse(route).startswith("router.get("):
                    summary = paragraphs(ast.get_docstring(node)).partition("\n")[0]
                    yield f"`/perennial{prefix}{_text(route.args[0])}`", summary


def _calls(tree: ast.Module, name: str) -> Iterator[ast.Call]:
    return (
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == name
    )


def _text(node: ast.expr) -> str:
    return str(ast.literal_eval(node))


class _Example:
    """A use case with no parameters of its own."""

    params = use_case.TrainingParams
