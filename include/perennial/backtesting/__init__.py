"""Backtests: replays retraining policies over the stored history, without touching what serves.

- `policies`: what may be varied, by the names that `use_case.py` has for it;
- `history`: all labelled rows of the history with features as they were known, retrieved once, and windows of them;
- `fits`: one fit of the use case's estimator and its predictions of all later rows, made once and kept on disk;
- `replaying`: what a policy would have done, partition by partition; `judging`: its gate;
- `running`: several policies at once, in parallel and resumable; `comparison`: which is better, and how surely;
- `report`: the result as data and as a table; `records`: its reference policies in the lake, for `regret`.
"""
