"""The names of the MLflow tags that Perennial writes and reads; they are stored, so they never change."""

from __future__ import annotations

#: MLflow's own: the git commit of the code, with `+dirty` when the code differed from it.
GIT_COMMIT = "mlflow.source.git.commit"

# Of every run.
MADE_BY = "perennial.made_by"  #: The Airflow run: a task that was killed finds its own half-finished MLflow run by it.
BY_REFIT = "#refit"  #: What `MADE_BY` ends with if it was the task that refits.

# Of a training run.
USE_CASE = "perennial.use_case"
OWNER = "perennial.owner"
ALGORITHM = "perennial.algorithm"  #: The class of the estimator; of a pipeline, of its steps.
WINDOW = "perennial.window"  #: First and last partition of the training window, as `first..last`.
END = "perennial.end"  #: End of the training window, event time, ISO 8601.
HOLDOUT_START = "perennial.holdout_start"  #: Event time, ISO 8601.
TRAINING_SET = "perennial.training_set"  #: Digest of its content.
TRAINING_SET_PATH = "perennial.training_set_path"
SNAPSHOTS = "perennial.snapshots"  #: JSON: lake table -> snapshot it was read from.
REQUESTS = "perennial.requests"  #: JSON list: ids of the retraining requests it handles.
LOCK_DIGEST = "perennial.lock_digest"  #: SHA-256 of requirements.lock.
CODE_CHANGES = "perennial.code_changes"  #: Digest of the uncommitted changes; empty: there were none.
WEIGHT = "perennial.weight"  #: The column of weights that the rows were fitted with; not there: they had none.
REFIT_OF = "perennial.refit_of"  #: Of a refit, the version that was evaluated in its place.
CHAMPION_THEN = "perennial.champion_then"  #: Version of the champion when the training began; empty: there was none.
SEARCH = "perennial.search"  #: What the search for its parameters found, in a sentence.
STUDY = "perennial.study"  #: Of a training run and its trials, the name of the search's record.
TRIAL = "perennial.trial"  #: Of a trial, its place in the search, from 1.

# Of a training run, once the gate has decided.
GATE = "perennial.gate"  #: The outcome.
GATE_BORDERLINE = "perennial.gate_borderline"  #: `true` or `false`.
GATE_FAILED = "perennial.gate_failed"  #: The rules that did not pass, separated by commas.
GATE_REASON = "perennial.gate_reason"
THRESHOLD = "perennial.threshold"  #: The probability from which on it acts; only where `value` is declared.

# Of a monitoring run.
VERDICT = "perennial.verdict"
REASON = "perennial.reason"
EXPLANATION = "perennial.explanation"

# Of a registered version; of a refit also `REFIT_OF`.
REFIT = "perennial.refit"  #: Of an evaluated version, the one that was fitted by its recipe on the whole window.
MODEL_CARD = "perennial.model_card"  #: Address of its card.
