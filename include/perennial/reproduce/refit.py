"""Trains a version again: the same rows from the same snapshots, the same fit, the same predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq

from perennial.errors import BadFeatures, InvalidParams, PerennialError, TrainingFailed
from perennial.feature_store import definitions, repository
from perennial.registry import model_loading, provenance
from perennial.reproduce import compare, recipe
from perennial.reproduce.recipe import Recipe
from perennial.reproduce.report import Part, Reproduction
from perennial.training import estimator, training_set
from perennial.use_case import UseCase


def reproduce(use_case: UseCase, version: int, say: Callable[[str], None] = lambda line: None) -> Reproduction:
    """Make a registered version again with the code as it is here, and say what differs.

    Reads only: nothing is registered, logged, or written to the lake.

    Args:
        use_case: Whose model.
        version: The registered version.
        say: Called with what is being done.

    Raises:
        PerennialError: the version, its run, a snapshot or a file of the lake is gone.
        BadFeatures, NotEnoughData: the training set cannot be built by the code as it is here.
    """
    say("reading what was recorded")
    recorded = recipe.read(use_case, version)
    recipe.check_snapshots(use_case, recorded)
    stored, file = _stored(recorded)
    say("building the training set again")
    with definitions.use_local_definitions():
        rebuilt = _rebuilt(use_case, recorded, stored)
        sources = _sources(use_case)
    say("comparing it with the stored one")
    data = _data(use_case, recorded, rebuilt, stored, sources)
    rows = pq.read_table(pa.BufferReader(rebuilt.content))
    say("fitting again and comparing predictions")
    with _as_many_threads(recorded) as threads:
        # On the rows that the version was fitted on, where they are still there: what differs then is the code's doing.
        predictions = _predictions(use_case, recorded, rows if data.equal or stored is None else stored)
    parts = (data, file, predictions, compare.code(use_case, recorded), compare.environment(recorded, threads))
    reproduction = Reproduction(use_case.name, version, parts)
    return replace(reproduction, advice=_advice(reproduction, recorded))


def _rebuilt(use_case: UseCase, recorded: Recipe, stored: pa.Table | None) -> training_set.Retrieved:
    """The training set, with the columns it had: the feature service may have got others since."""
    first, last = use_case.partition(recorded.plan.first), use_case.partition(recorded.plan.last)
    columns = stored.column_names if stored is not None else recipe.inputs(use_case, recorded)
    try:
        return training_set.retrieve(use_case, first, last, snapshots=recorded.data.snapshots, features=columns)
    except FileNotFoundError as error:
        raise PerennialError(
            f"Version {recorded.version} of {use_case.name!r} cannot be built again: a file of its lake snapshots is"
            f" gone: {error}",
            "Restore the lake from a backup.",
        ) from error


def _stored(recorded: Recipe) -> tuple[pa.Table | None, Part]:
    """The training set as it was stored, if it is still what it was."""
    name = "stored file"
    try:
        return recorded.data.table, Part(name, True, (f"{recorded.data.path} has the digest it is named by.",))
    except BadFeatures:
        reason = f"{recorded.data.path} does not have the digest it is named by: it was changed or damaged."
    except FileNotFoundError:
        reason = f"{recorded.data.path} is gone."
    return None, Part(name, False, (reason,))


def _data(
    use_case: UseCase,
    recorded: Recipe,
    rebuilt: training_set.Retrieved,
    stored: pa.Table | None,
    sources: dict[str, str],
) -> Part:
    if rebuilt.digest == recorded.data.digest:
        size = f"{rebuilt.rows.num_rows:,} rows from {len(recorded.data.snapshots)} snapshots, digest {rebuilt.digest}."
        return Part("data", True, (size,))
    digests = f"The digest was {recorded.data.digest[:16]}, is {rebuilt.digest[:16]}."
    if stored is None:
        counted = f"{recorded.data.rows:,} rows then, {rebuilt.rows.num_rows:,} now; which differ cannot be told."
        return Part("data", False, (digests, counted))
    key = [*use_case.examples.key, "event_timestamp"]
    differences = compare.rows(stored, rebuilt.rows, list(dict.fromkeys(key)), sources)
    return Part("data", False, (digests, *(differences or ["Every row is equal, but the file is encoded otherwise."])))


def _sources(use_case: UseCase) -> dict[str, str]:
    """The lake table that each feature comes from."""
    tables = repository.lake_tables(use_case.feature_service)
    views = repository.feature_views(use_case.feature_service)
    return {field.name: tables[name] for name, view in views.items() for field in view.features}


def _predictions(use_case: UseCase, recorded: Recipe, rows: pa.Table) -> Part:
    """The registered model's predictions of the holdout against those of one that is fitted again.

    A refit of the gate has no holdout: of it all rows count.
    """
    fit = training_set.rows_to_fit(rows, recorded.data.holdout_start).to_pandas()
    compared, of = training_set.rows_to_judge(rows, recorded.data.holdout_start).to_pandas(), "the holdout"
    if recorded.plan.refit_of is not None:
        compared, of = fit, "the rows fitted on"
    columns = recipe.inputs(use_case, recorded)
    absent = [name for name in columns if name not in rows.column_names]
    if absent:
        reason = f"The rows have no {', '.join(absent)}, which the version was fitted on."
        return Part("predictions", None, (reason,))
    registered = model_loading.load(use_case, recorded.version)
    try:
        params = recipe.estimator_params(use_case, recorded)
        model, _ = estimator.fit_estimator(use_case, params, fit, columns)
    except (BadFeatures, InvalidParams, TrainingFailed) as error:
        return Part("predictions", None, (f"The version cannot be fitted by the code here: {error.problem}",))
    return compare.predictions(registered(compared), model_loading.predictor(use_case, model)(compared[columns]), of)


@contextmanager
def _as_many_threads(recorded: Recipe) -> Iterator[dict[str, int]]:
    """Inside, thread pools have as many threads as at the training: some algorithms add up in another order else.

    Yields:
        How many each kind has.
    """
    from threadpoolctl import threadpool_limits

    then = recorded.provenance.environment.threads if recorded.provenance else {}
    with threadpool_limits(then or None):
        yield provenance.threads()


def _advice(reproduction: Reproduction, recorded: Recipe) -> str:
    """What to do next; nothing if all is equal."""
    differing = {part.name for part in reproduction.parts if not part.equal}
    steps = []
    if "stored file" in differing and "data" not in differing:
        steps.append(f"Move {recorded.data.path} away: the next training on these rows writes it again.")
    if recorded.commit and ("code" in differing or recorded.lock != provenance.lock_digest()):
        changes = " --with-changes" if recorded.is_dirty else ""
        command = f"perennial reproduce {reproduction.use_case} {reproduction.version} --checkout{changes}"
        steps.append(f"To make it again by the code and the lock file it was trained by: `{command}`.")
    elif {"data", "predictions"} & differing and "environment" in differing:
        steps.append("Make it again in the environment that it was trained in.")
    elif {"data", "predictions"} & differing:
        steps.append("Code and environment are those of the training: look for something random that has no seed.")
    return " ".join(steps)
