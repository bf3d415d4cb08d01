"""The program of the smoke test: load a stored model as anybody would, predict its input example, time it.

    python -m perennial.gate.fresh_process RESULT_FILE

The model's folder is one line on standard input: the libraries, which take seconds, are imported before it is known.
Nothing of Perennial takes part in loading: a model that only works where it was made fails here.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

#: Single rows are predicted this often, or for so many seconds; the first ones warm up.
REPEATS, SECONDS, WARM_UPS = 30, 2.0, 3
#: Rows of the batch whose rate is reported.
BATCH = 10_000


def main() -> None:
    """Write predictions and speed of the model to the result file, as JSON.

    Raises:
        SystemExit: the model was stored without an input example.
    """
    import skops.io  # noqa: F401  First: it looks its types up in every module that is already imported.
    import mlflow.pyfunc  # isort: skip

    folder, path = sys.stdin.readline().rstrip("\n"), sys.argv[1]
    if not folder:
        return  # Nothing came to be tested.
    model = mlflow.pyfunc.load_model(folder)
    example = model.input_example
    if example is None:
        raise SystemExit("the model was stored without an input example")
    predictions = model.predict(example)
    result = {"predictions": predictions.tolist(), **_speed(model, example)}
    Path(path).write_text(json.dumps(result))


def _speed(model: Any, example: Any) -> dict[str, float]:
    """Median seconds to predict a row, and rows per second of a large batch."""
    import numpy as np
    import pandas as pd

    seconds: list[float] = []
    row, began = example.iloc[:1], time.perf_counter()
    while len(seconds) < REPEATS + WARM_UPS and (len(seconds) < WARM_UPS + 1 or time.perf_counter() - began < SECONDS):
        started = time.perf_counter()
        model.predict(row)
        seconds.append(time.perf_counter() - started)
    batch = pd.concat([example] * (BATCH // len(example)), ignore_index=True)
    started = time.perf_counter()
    model.predict(batch)
    rate = len(batch) / (time.perf_counter() - started)
    return {"latency_seconds": float(np.median(seconds[WARM_UPS:])), "rows_per_second": rate}


if __name__ == "__main__":
    main()
