"""Versions that are registered, and promoted, without being trained on anything."""

from __future__ import annotations

import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression

from perennial.registry import ledger, model_files, tracking
from perennial.registry.run_files import RunFiles
from perennial.use_case import UseCase


def register(use_case: UseCase, columns: list[str], number: int) -> int:
    """A version that predicts its number, whatever it is asked."""
    features = pd.DataFrame(np.zeros((3, len(columns))), columns=columns)
    model = LinearRegression().fit(features, np.full(3, float(number)))
    with tracking.run(use_case, "training", made_by=f"made-{number}", name=f"v{number}") as active:
        files = RunFiles()
        model_id, uri = files.log_model(
            model,
            serialization_format="skops",
            signature=infer_signature(features, model.predict(features)),
            pip_requirements=["scikit-learn"],
        )
        model_files.record(use_case, "2024-01-02", active.info.run_id, model_id, files.digests)
        return int(tracking.register(use_case, uri, active.info.run_id).version)


def promote(use_case: UseCase, version: int, **evidence: object) -> None:
    """Let the gate promote a version on this evidence; the partition before is the newest it has seen."""
    partition = use_case.partition("2024-01-02")
    ledger.record(
        use_case,
        partition=partition.key,
        action="promoted",
        model_version=version,
        previous_version=version - 1 or None,
        model_run=tracking.run_of(use_case, version),
        effective_from=partition.end,
        actor="gate",
        reason="better",
        evidence=evidence,
    )
    tracking.promote(use_case, version)
