"""The feature store: Feast on top of the lake.

- `repository`: what pipelines call, to apply definitions, materialize, and read features;
- `definitions/`: the Feast objects that `feature_repo/` defines, checked against the lake;
- `views`: feature views of lake tables, for `feature_repo/`;
- `source`, `offline`, `engine`, `registry`, `destinations`, `online/`: Feast's own extension points, which
  `feature_repo/` and Feast's registry name by their paths: never move them;
- `retrieval/`: historical retrieval, from entity rows to the feature row that each of them may see;
- `storage/`: reading and writing lake tables and Parquet files;
- `parity/`: checks that the online store serves what the lake holds;
- `fingerprints`, `computations`: which code computed each partition of a feature table.
"""
