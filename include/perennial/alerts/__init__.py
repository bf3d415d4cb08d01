"""Incidents: what went wrong, with which use case, since when, what to do, and whether somebody has seen it."""
