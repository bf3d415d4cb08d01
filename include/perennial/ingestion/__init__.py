"""Ingestion: raw batches into the lake, feature tables computed from them, and features published online."""
