"""Small helpers that know nothing of use cases, shared by every package.

- `duckdb_session`: SQL over Arrow tables in bounded memory;
- `heavy_imports`: importing the large libraries once, and without what only costs time;
- `storage`: errors of disks and databases, turned into errors that name the fix;
- `suggestions`: "Did you mean ...?"; `background_threads`: work that the end of the process does not wait for.
"""
