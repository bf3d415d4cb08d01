"""What a notebook asks of a use case: its tables as data frames, and its champion as an object.

The functions are offered as `perennial.examples(...)`, `perennial.champion(...)` and so on.

- `tables`: examples, features, training sets, predictions and status as pandas or Polars data frames;
- `champion`: the version that serves, loaded, with its record.
"""
