"""The program of the smoke test: load stored models as anybody would, predict their input examples, time it.

    python -m perennial.gate.fresh_process

It imports the libraries, which takes seconds. Then each line of standard input is the JSON of a test: the model's
folder, the file for the result, and that for what is printed. A test runs in a fork of its own, which has the
libraries and nothing of any other model. What is answered is a line with its exit code, or the signal that ended it,
as a negative number.

Nothing of Perennial takes part in loading: a model that only works where it was made fails here.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

#: Single rows are predicted this often, or for so many seconds; the first ones warm up.
REPEATS, SECONDS, WARM_UPS = 30, 2.0, 3
#: Rows of the batch whose rate is reported.
BATCH = 10_000


def main() -> None:
    """Answer until standard input ends, which it does with the process that asks."""
    gc.disable()  # A sixth of the time that the imports take.
    import skops.io  # noqa: F401  First: it looks its types up in every module that is already imported.
    import mlflow.pyfunc  # noqa: F401  # isort: skip

    gc.freeze()  # Nor need any test look through what was imported.
    gc.enable()
    for line in sys.stdin:
        test = json.loads(line)
        child = os.fork()
        if not child:
            _run(**test)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _run(folder: str, result: str, log: str) -> NoReturn:
    """Test a model in this process, and end it."""
    code = 1
    try:
        _end_with_parent()
        with Path(log).open("w") as printed:
            os.dup2(printed.fileno(), 1)
            os.dup2(printed.fileno(), 2)
        Path(result).write_text(json.dumps(_measured(folder)))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _end_with_parent() -> None:
    """On Linux: where the process that asks ends the one that forks, nothing goes on."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _measured(folder: str) -> dict[str, Any]:
    """Predictions and speed of a stored model.

    Raises:
        ValueError: it was stored without an input example.
    """
    import mlflow.pyfunc

    model = mlflow.pyfunc.load_model(folder)
    example = model.input_example
    if example is None:
        raise ValueError("the model was stored without an input example")
    return {"predictions": model.predict(example).tolist(), **_classes(model), **_speed(model, example)}


def _classes(model: Any) -> dict[str, list[str]]:
    """The classes that a classifier was fitted on, in the order of its predictions."""
    classes = getattr(model.get_raw_model(), "classes_", None)
    return {} if classes is None else {"classes": [str(each) for each in classes]}


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
