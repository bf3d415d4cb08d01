"""Whether a model predicts a row as it would predict it alone: only then may requests be predicted together.

Most estimators do. But a product of matrices may round differently with the number of rows, and an estimator of one's
own may look at all of them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from perennial.registry.model_loading import Predict

#: Rows predicted together: powers of two and what lies beside them, where kernels treat the rest differently.
_SIZES = (2, 3, 4, 5, 7, 8, 9, 16, 17, 33, 64)


def is_row_independent(predict: Predict, example: pd.DataFrame | None) -> bool:
    """Whether the rows of an example are predicted to the bit alike alone and among others.

    Args:
        predict: The model.
        example: Rows that it can predict; None, or no rows: there are none, and the answer is no.
    """
    if example is None or example.empty:
        return False
    alone = np.concatenate([predict(example.iloc[[row]]) for row in range(len(example))])
    for size in _SIZES:
        rows = np.arange(size) % len(example)
        if not np.array_equal(predict(example.iloc[rows].reset_index(drop=True)), alone[rows], equal_nan=True):
            return False
    return True
