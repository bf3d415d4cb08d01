"""Reports read from records: the status of each partition, and the overview of a use case."""
