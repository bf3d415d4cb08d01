"""Where raw rows come from that are no files at hand: the web, and the tables of databases.

A use case's `source.py` reads one partition through `web` or `tables`; credentials are Airflow connections, which
`connections` finds.
"""
