"""Historical retrieval: from entity rows to the feature row that each of them may see.

- `entity_rows`, `entity_query`, `non_entity`: the rows that features are joined to;
- `historical`: the retrieval as a whole; `requested_view`: one feature view's part of it;
- `stored_view`, `feature_window`: the feature rows that matter, read from the table once;
- `point_in_time`, `join_key_encoding`: the join itself;
- `pulls`: all rows of a source, or the newest of each key; `job`: what Feast's callers get back;
- `memory`: how much memory a retrieval may take.
"""
