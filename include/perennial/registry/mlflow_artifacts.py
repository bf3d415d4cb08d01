"""The names of the MLflow artifacts that Perennial logs and reads back; they are stored, so they never change."""

from __future__ import annotations

# Of a training run.
PLAN = "plan.json"  #: Parameters and window; a `TrainingPlan`.
TRAINING_SET = "training_set.json"  #: A `TrainingSet`: digest, snapshots and address, not the rows.
PROVENANCE = "provenance.json"  #: A `Provenance`: code and environment.
CODE_CHANGES = "code/changes.json"  #: What was in no commit: `UncommittedChanges` without the difference itself,
CODE_DIFF = "code/changes.diff"  #: and that difference.
QUALITY = "quality.json"  #: A `Quality`: metrics on the holdout.
IMPORTANCE = "importance.json"  #: Feature importance by column.
DRIFT_PROFILE = "drift"  #: The folder of a drift `Profile`.

# Of a training run, once the gate has decided.
GATE = "gate.json"  #: A `GateDecision`.
GATE_MARKDOWN = "gate.md"
ROLLOUT = "rollout.json"  #: What is known of the version's rollout so far: a `RolloutReport`.
CARD_FOLDER, CARD_MARKDOWN, CARD_HTML = "model_card", "model_card.md", "model_card.html"

#: What the gate and a rollout add to a run later; it is for people, the ledger holds the decisions themselves.
ADDED_LATER = frozenset({GATE, ROLLOUT})
#: Those that say how a version was made, and what became of it.
TRAINING_DOCUMENTS = (PLAN, TRAINING_SET, PROVENANCE, QUALITY, GATE, ROLLOUT)

# Of a monitoring run.
VERDICT = "verdict.json"  #: A `VerdictEvidence`.
DRIFT_REPORT = "drift.html"  #: Evidently's page.
