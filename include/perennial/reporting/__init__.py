"""Reporting: what happened to each partition, and one overview of a use case, read from the records."""
