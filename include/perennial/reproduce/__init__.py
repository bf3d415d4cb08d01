"""Reproducing a registered version: train it again from what was recorded of it, and say what differs.

`recipe` reads what was recorded, `refit` builds the rows and fits the model again, `compare` says what differs,
`report` shows it, and `checkout` does all that in a checkout of the commit that the version was trained by. Nothing is
registered or written to the lake.
"""
