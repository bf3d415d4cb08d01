"""Predictions ahead of time: of examples that are known before their moment, on the clock.

- `predicting`: predicts what is due, and records it;
- `backtest`: what predicting earlier would have cost in a past partition.
"""
