"""Reading and writing what features are stored in: tables of the lake, and Parquet files.

- `scan`: reads only the columns, times and keys that are asked for;
- `lake_dataset`, `parquet_files`: a lake table, or Feast's `FileSource`, as an Arrow dataset;
- `declared_types`: values in the type that a feature view declares; `arrow_columns`: columns in one plain form;
- `writing`: what Feast writes: pushed rows, saved datasets, logs.
"""
