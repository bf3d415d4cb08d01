"""Predictions that were served: their table in the lake, and the log on disk in which they wait for it."""
