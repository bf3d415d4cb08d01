"""Reports read from records: the status of each partition, in a terminal too, and the overview of a use case."""
