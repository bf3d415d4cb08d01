"""Chooses the label: its column, the task, and the positive class of a binary task or the names of several classes."""

from __future__ import annotations

import math
import re
from typing import Any, get_args

from perennial._common.sql_quoting import quote_ident, quote_literal
from perennial.errors import InvalidParams
from perennial.scaffold import names
from perennial.scaffold.asking import Ask
from perennial.scaffold.design import Assumption, Label, Task
from perennial.scaffold.options import Options
from perennial.scaffold.profiling import Look, ProfiledColumn
from perennial.sources import columns

#: Fewer rows with a label teach nothing that could be proven.
FEWEST_ROWS = 100
_OBVIOUS = ("label", "label_value", "target", "y", "outcome")
#: Which of two words is the one that is asked about.
_POSITIVE = ("yes", "true", "y", "t", "positive", "pos", "late", "churned", "failed", "fraud", "1", "1.0")
_NEGATIVE = ("no", "false", "n", "f", "negative", "neg", "on time", "stayed", "ok", "normal", "0", "-1", "0.0", "-1.0")
#: So many values are named where there are too many.
_SHOWN = 6
_ONE_OF_THEM = (
    "Ask about one of them against all others: --positive VALUE. Or about all of them: --task multiclass; steps of a"
    " scale can be numbers in the data (--task regression). What stands for a label that is not known has to be empty"
    " in the data."
)
#: Up to so many whole numbers may be names of classes as well, and so many classes are predicted at once.
_CLASSES = 20
#: A value that is the name of its class as it stands.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,29}")


def choose(look: Look, options: Options, but: set[str], ask: Ask, assume: list[Assumption]) -> ProfiledColumn:
    """The label's column: as given, as its name says, or as answered.

    Args:
        look: The profiled data.
        options: What the person gave.
        but: Names of columns that it is not: the time, and what was dropped.
        ask: Asks the person.
        assume: Collects what was assumed.

    Raises:
        InvalidParams: there is no such column, it is the time or holds times, or nobody is there to ask.
    """
    if options.label:
        column = look.column(options.label, "--label")
    else:
        others = [column for column in look.columns if column.name not in but]
        obvious = [column for column in others if column.name in _OBVIOUS]
        if len(obvious) == 1:
            column = obvious[0]
            assume.append(Assumption("label", column.source, "the column is named so", "--label"))
        else:
            question = "Which column is to be predicted?"
            column = look.column(ask(question, [column.source for column in others], "--label COLUMN"), "--label")
    if column.name in but:
        raise InvalidParams(f"--label {column.source}: that column is the time.", "Name what is to be predicted.")
    if column.kind == "time":
        raise InvalidParams(
            f"--label {column.source}: the column holds times, which no task predicts.",
            "Add a column with a length of time, or with whether it came to that, and give that one.",
        )
    return column


def understand(look: Look, column: ProfiledColumn, options: Options, ask: Ask, assume: list[Assumption]) -> Label:
    """What is asked of the label: its task and, of two classes, which one is meant, of several their names.

    Args:
        look: The profiled data, with its table `timed`.
        column: The label's column.
        options: What the person gave.
        ask: Asks the person.
        assume: Collects what was assumed.

    Raises:
        InvalidParams: too few rows, one class only, more classes than a task has, or nobody to ask.
    """
    rows, filled = look.ask(f"SELECT count(*), count({quote_ident(column.name)}) FROM timed")[0]  # noqa: S608
    if filled < FEWEST_ROWS:
        raise InvalidParams(
            f"{filled} rows have a label (column {column.source!r}), and at least {FEWEST_ROWS} are needed: fewer"
            " prove nothing about any model.",
            "Give more data.",
        )
    task, wanted = _task(look, column, options, ask, assume)
    if task == "multiclass":
        return _of_classes(look, column, filled, 1 - filled / rows, assume)
    positive = _positive(look, column, wanted, ask, assume) if task == "binary" else None
    rate, spread = look.ask(f"SELECT avg(t), stddev_pop(t) FROM (SELECT {truth(column, positive)} AS t FROM timed)")[0]  # noqa: S608
    if not spread:
        only = f"{column.values[0]!r}" if column.values else "the same"
        raise InvalidParams(
            f"Every label (column {column.source!r}) is {only}: there is nothing to learn.",
            "Give data with both outcomes, or another --label.",
        )
    return Label(column, task, positive, filled, float(rate), float(spread), 1 - filled / rows)


def _of_classes(look: Look, column: ProfiledColumn, filled: int, missing: float, assume: list[Assumption]) -> Label:
    """A label of several classes."""
    name = quote_ident(column.name)
    counts = dict(look.ask(f"SELECT {name}, count(*) FROM timed WHERE {name} IS NOT NULL GROUP BY 1"))  # noqa: S608
    classes: dict[Any, str] = {}
    for value in sorted(counts, key=lambda each: (-counts[each], str(each))):
        wanted = str(value) if _NAME.fullmatch(str(value)) else names.plain(str(value))
        taken = {each.lower() for each in classes.values()}
        classes[value] = names.unique(wanted.lower(), taken) if wanted.lower() in taken else wanted
    shown = ", ".join(f"{classes[value]} ({counts[value]:,} rows)" for value in classes)
    assume.append(Assumption("classes", shown, f"all values of column {column.source!r}", "--positive"))
    shares = [count / filled for count in counts.values()]
    entropy = -sum(share * math.log(share) for share in shares)
    return Label(column, "multiclass", None, filled, max(shares), entropy, missing, classes)


def truths(label: Label) -> list[str]:
    """What the label says, as numbers, in SQL over its column; of several classes, for each whether it is that one.

    Args:
        label: What is predicted.
    """
    return [truth(label.column, value) for value in label.classes or [label.positive]]


def truth(column: ProfiledColumn, positive: Any) -> str:
    """The label as a number, in SQL over the column; null where it is unknown.

    Args:
        column: The label's column.
        positive: The value that is 1; None: the label is a number itself.
    """
    name = quote_ident(column.name)
    if positive is None:
        return f"CAST({name} AS DOUBLE)"
    if isinstance(positive, bool):
        return f"CAST({name} = {str(positive).lower()} AS DOUBLE)"
    value = quote_literal(positive) if isinstance(positive, str) else repr(positive)
    return f"CAST({name} = {value} AS DOUBLE)"


def _task(look: Look, column: ProfiledColumn, options: Options, ask: Ask, assume: list[Assumption]) -> tuple[Task, str]:
    """The task and, where an option gives it, the class that it asks about."""
    values = column.values
    if len(values) == 1:
        raise InvalidParams(
            f"Every label (column {column.source!r}) is {values[0]!r}: there is nothing to learn.",
            "Give data with both outcomes, or another --label.",
        )
    if options.task not in ("", *get_args(Task)):
        raise InvalidParams(
            f"--task {options.task}: the tasks are binary, multiclass and regression.", "Give one of them."
        )
    if options.task == "multiclass":
        return _multiclass(look, column, options), ""
    if options.task == "regression":
        if not column.is_number:
            raise InvalidParams(
                f"--task regression: column {column.source!r} holds {column.reading.description}, no numbers.",
                "Use --task binary, or another --label.",
            )
        return "regression", ""
    if options.task == "binary" or options.positive:
        return "binary", options.positive
    if column.kind == "boolean" or (len(values) == 2 and (column.kind == "text" or set(values) <= {0, 1, -1})):
        assume.append(Assumption("task", "binary", f"column {column.source!r} has two values", "--task"))
        return "binary", ""
    if column.kind == "text":
        raise _too_many_classes(look, column)
    if column.kind == "integer" and values and len(values) <= _CLASSES:
        shown = ", ".join(map(str, sorted(values)))
        question = (
            f"Column {column.source!r} holds {len(values)} whole numbers ({shown}): amounts, or names of classes?"
        )
        choices = ["amounts", *(f"class {value}" for value in sorted(values))]
        option = "--task regression, --task multiclass, or --positive VALUE for one class against the others"
        answer = ask(question, choices, option)
        one = answer.removeprefix("class ") if answer.startswith("class ") else ""
        return ("binary", one) if one else ("regression", "")
    assume.append(Assumption("task", "regression", f"column {column.source!r} holds numbers", "--task"))
    return "regression", ""


def _multiclass(look: Look, column: ProfiledColumn, options: Options) -> Task:
    """Check that a column holds names of several classes."""
    if options.positive:
        raise InvalidParams(
            f"--positive {options.positive} and --task multiclass exclude each other: one class is meant, or all.",
            "Give one of them.",
        )
    if column.kind not in ("text", "integer", "boolean"):
        raise InvalidParams(
            f"--task multiclass: column {column.source!r} holds {column.reading.description}, no names of classes.",
            "Use --task regression, or another --label.",
        )
    count = len(column.values) or column.distinct
    if not 3 <= count <= _CLASSES or not column.values:
        raise InvalidParams(
            f"--task multiclass: column {column.source!r} has {count} different values ({_counted(look, column)});"
            f" classes are 3 to {_CLASSES}.",
            "Two values are --task binary. Of more, make one of the rare ones in the data, or ask about one of them:"
            " --positive VALUE.",
        )
    return "multiclass"


def _too_many_classes(look: Look, column: ProfiledColumn) -> InvalidParams:
    """The answer to a label of text that is neither two classes nor numbers, with what it holds and how often."""
    almost = next(iter(column.either), None)
    fix = _ONE_OF_THEM
    if almost and almost.kind != "boolean":
        fix += " Or take what is no number for a label that is not known: --task regression."
    if almost and not column.values:
        rest = _counted(look, column, f"{almost.of(column.name)} IS NULL")
        return InvalidParams(
            f"The label (column {column.source!r}) holds {almost.description}, but not only: {rest}.", fix
        )
    numeric = f"; {column.mixed:.0%} of its values are numbers" if column.mixed else ""
    return InvalidParams(
        f"The label (column {column.source!r}) is text with more than two classes ({_counted(look, column)}{numeric}):"
        " is each of them predicted, or one against all others?",
        fix,
    )


def _counted(look: Look, column: ProfiledColumn, where: str = "true") -> str:
    """The most frequent values of a column, each with how many rows have it."""
    name = quote_ident(column.name)
    rows = look.ask(
        f"SELECT {name}, count(*), count(*) OVER () FROM timed WHERE {name} IS NOT NULL AND {where}"  # noqa: S608
        f" GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {_SHOWN}"
    )
    more = [f"{rows[0][2] - _SHOWN} more"] if rows and rows[0][2] > _SHOWN else []
    return ", ".join([*(f"{value} in {count:,} rows" for value, count, _ in rows), *more])


def _positive(look: Look, column: ProfiledColumn, wanted: str, ask: Ask, assume: list[Assumption]) -> Any:
    """The value that is 1."""
    values = column.values
    if wanted:
        if not values:
            raise InvalidParams(
                f"--positive: column {column.source!r} has about {column.distinct} different values.",
                "A binary task needs a label of few values; a number is predicted with --task regression.",
            )
        meant = _meant(column, wanted)
        others = [str(value) for value in values if value != meant]
        if len(others) > 1:
            why = f"--positive asks about {wanted} against all others"
            assume.append(Assumption("other labels", f"{', '.join(others)} are 0", why, "--positive"))
        return meant
    if len(values) != 2:
        raise InvalidParams(
            f"--task binary: column {column.source!r} has {len(values) or column.distinct} different values, not two:"
            f" {_counted(look, column)}.",
            _ONE_OF_THEM,
        )
    positive = [value for value in values if _spoken(value) in _POSITIVE]
    negative = [value for value in values if _spoken(value) in _NEGATIVE]
    if len(positive) == 1 and (negative or column.kind == "boolean"):
        assume.append(
            Assumption(
                "positive", str(positive[0]), f"the other value is {negative[0] if negative else 'no'}", "--positive"
            )
        )
        return positive[0]
    question = f"Which value of column {column.source!r} is asked about?"
    answer = ask(question, [str(value) for value in values], "--positive VALUE")
    return _meant(column, answer)


def _meant(column: ProfiledColumn, wanted: str) -> Any:
    """The value that somebody means who writes `wanted`: just that one, else the only one that is written alike.

    Raises:
        InvalidParams: there is none, or there are several.
    """
    exactly = [value for value in column.values if str(value) == wanted]
    alike = [value for value in column.values if _is_alike(value, wanted)]
    if not exactly and not alike:
        raise InvalidParams(
            f"--positive {wanted}: column {column.source!r} has no such value.",
            f"It has {', '.join(map(str, column.values[:12]))}.",
        )
    if not exactly and len(alike) > 1:
        raise InvalidParams(
            f"--positive {wanted}: of column {column.source!r} that may be {' or '.join(map(repr, alike))}.",
            "Write one of them as it stands there, or make them one in the data.",
        )
    return (exactly or alike)[0]


def _is_alike(value: Any, wanted: str) -> bool:
    word = _spoken(wanted)
    if isinstance(value, bool):
        return word in ((*columns.TRUE, "1") if value else (*columns.FALSE, "0"))
    try:
        return _spoken(value) == word or float(value) == float(word)
    except ValueError:
        return False


def _spoken(value: Any) -> str:
    return str(value).strip().lower()
