"""Loads raw batches into the lake, computes feature tables from them, and publishes features to the online store.

- `ingest`: fetches the raw batches of a partition and writes them; `admission` decides what of a batch enters;
- `compute`: runs the use case's transforms; `publish`: brings their rows to the online store.
"""
