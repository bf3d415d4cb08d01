"""Which set of parameters is tried next, and the record of those before: a study of Optuna, in PostgreSQL.

Sets are drawn by the tree-structured Parzen estimator (J. Bergstra et al., "Algorithms for Hyper-Parameter
Optimization", NIPS 2011), seeded again for each by the run's seed and the number of sets before it, so that a search
that was killed and continued draws what it would have drawn otherwise. A set that is worse, after the folds so far,
than half of those that were tried to their end is stopped (D. Golovin et al., "Google Vizier: A Service for Black-Box
Optimization", KDD 2017: the median rule).
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import text

from perennial._common.storage import explaining_database
from perennial.services import postgres
from perennial.training.search.comparison import Improvement
from perennial.use_case import TrainingParams
from perennial.use_case.search import Choice, Range, number_types

#: Why the estimator could not be fitted with a trial's parameters. A trial that failed without one was killed.
ERROR = "error"
#: Standard error of a trial's improvement, and the number of blocks that it is from.
STANDARD_ERROR, BLOCKS = "standard_error", "blocks"
#: States of a trial that has ended, also if it was killed.
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)

optuna.logging.set_verbosity(optuna.logging.WARNING)


@contextmanager
def storage() -> Iterator[BaseStorage]:
    """Optuna's tables, in a schema of the database `lake`.

    Each release of Optuna has a schema of its own: a study belongs to the lock file that it was made with, so none is
    ever continued by another release, and nothing needs to be upgraded.

    Raises:
        ServiceUnavailable: PostgreSQL does not answer.
    """
    schema = f"optuna_{optuna.__version__.replace('.', '_')}"
    with _explaining(), postgres.advisory_lock(schema), postgres.engine("lake").begin() as connection:
        # Locked: two processes that create the same tables at once would fail.
        connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
    with _explaining():
        with postgres.advisory_lock(schema):
            opened = RDBStorage(
                postgres.url("lake").render_as_string(hide_password=False),
                engine_kwargs={"pool_pre_ping": True, "connect_args": {"options": f"-csearch_path={schema}"}},
            )
        try:
            yield opened
        finally:
            opened.engine.dispose()


@contextmanager
def _explaining() -> Iterator[None]:
    with explaining_database("The search for parameters"):
        try:
            yield
        except StorageInternalError as error:
            raise (error.__cause__ or error) from error  # SQLAlchemy's own, which says what is wrong.


def name_of(use_case: str, **parts: Any) -> str:
    """The name of a study: equal for equal parts.

    Args:
        use_case: Its name.
        parts: Whatever the value of a trial depends on, JSON-ready.
    """
    content = json.dumps(parts, sort_keys=True, default=str).encode()
    return f"{use_case}.{hashlib.sha256(content).hexdigest()[:32]}"


def distributions(
    params: type[TrainingParams], space: Mapping[str, Range | tuple[Choice, ...]]
) -> dict[str, BaseDistribution]:
    """The space as Optuna has it.

    Args:
        params: They say which are whole numbers.
        space: Parameter -> what it is searched among.
    """
    made: dict[str, BaseDistribution] = {}
    for name, values in space.items():
        if not isinstance(values, Range):
            made[name] = CategoricalDistribution(values)
        elif number_types(params, name) == {int}:
            made[name] = IntDistribution(int(values.low), int(values.high), log=values.log)
        else:
            made[name] = FloatDistribution(values.low, values.high, log=values.log)
    return made


class Study:
    """One search: its trials so far, and the next one.

    Whoever uses it holds its lock: what is running in the record was killed.

    Args:
        kept_in: Optuna's storage.
        name: By `name_of`.
        space: Parameter -> distribution.
        own: The run's own values of these parameters, which are tried first.
        seed: Of the run.
    """

    def __init__(
        self, kept_in: BaseStorage, name: str, space: Mapping[str, BaseDistribution], own: Mapping[str, Any], seed: int
    ) -> None:
        self.name = name
        self._space, self._own, self._seed = dict(space), dict(own), seed
        self._study = optuna.create_study(
            storage=kept_in,
            study_name=name,
            direction=StudyDirection.MAXIMIZE,
            pruner=MedianPruner(n_startup_trials=4, n_warmup_steps=1),
            load_if_exists=True,
        )
        for killed in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(killed.number, state=TrialState.FAIL)

    @property
    def trials(self) -> list[FrozenTrial]:
        """The trials that ended by themselves, in their order; the first has the run's own parameters."""
        ended = self._study.get_trials(deepcopy=False, states=_FINISHED)
        return [each for each in ended if each.state != TrialState.FAIL or ERROR in each.user_attrs]

    def ask(self) -> Trial:
        """The next trial. It is what it would be if none had been killed."""
        before = len(self.trials)
        if not before and not self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self._study.enqueue_trial(self._own)
        drawn = hashlib.sha256(f"{self._seed}:{before}".encode()).digest()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._study.sampler = TPESampler(seed=int.from_bytes(drawn[:4]))
        return self._study.ask(self._space)

    def complete(self, trial: Trial, improvement: Improvement) -> None:
        """Record a trial that was tried to its end.

        Args:
            trial: From `ask`.
            improvement: Over the run's own parameters.
        """
        trial.set_user_attr(STANDARD_ERROR, improvement.error)
        trial.set_user_attr(BLOCKS, improvement.blocks)
        self._study.tell(trial, improvement.value)

    def repeat(self, trial: Trial) -> bool:
        """Give a trial the result of an earlier one with the same parameters, if there is one; say whether there was.

        Args:
            trial: From `ask`.
        """
        earlier = next((each for each in self.trials if each.params == trial.params), None)
        if earlier is None:
            return False
        for name, value in earlier.user_attrs.items():
            trial.set_user_attr(name, value)
        self._study.tell(trial, earlier.value if earlier.state == TrialState.COMPLETE else None, state=earlier.state)
        return True

    def prune(self, trial: Trial) -> None:
        """Record that a trial was stopped early."""
        self._study.tell(trial, state=TrialState.PRUNED)

    def fail(self, trial: Trial, why: str) -> None:
        """Record that the estimator could not be fitted with a trial's parameters.

        Args:
            trial: From `ask`.
            why: What was raised.
        """
        trial.set_user_attr(ERROR, why[:2_000])
        self._study.tell(trial, state=TrialState.FAIL)
