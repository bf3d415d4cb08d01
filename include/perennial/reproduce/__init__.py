"""Reproducing a registered version: what was recorded of it, done again, and what differs.

`recipe` reads what was recorded, `replay` does it again, `compare` says what differs, `report` shows it, and `checkout`
does all that in a checkout of the commit that the version was trained by. Nothing is registered or written to the lake.
"""
