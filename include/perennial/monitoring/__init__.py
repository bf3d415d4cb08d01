"""Monitoring: drift and production performance of each scored partition, and when to retrain.

- `monitor`: monitors one partition and appends what it measured to the lake; `revisions`: does so again when labels
  change;
- `performance`: metrics on the labels that have matured; `rules`: the verdict that follows from all measurements;
- `verdict`: the verdict and its evidence as data; `roles`: whose metrics a row holds.
"""
