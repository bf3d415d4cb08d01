"""Models predicted with NumPy alone, without pandas and scikit-learn's pipeline, to the same bits.

- `forest`: trees as flat arrays;
- `steps`: transformers; `estimators`: what follows them;
- `model`: a whole pipeline, for rows of plain values;
- `checking`: holds it against the pipeline it was made of; without equality to the bit it is not used.
"""
