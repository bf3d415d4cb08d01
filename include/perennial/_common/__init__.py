"""Small helpers that know nothing of use cases, shared by every package.

- `duckdb_session`: SQL over Arrow tables in bounded memory;
- `heavy_imports`: importing the large libraries once, and without what only costs time;
- `log_lines`: log lines on standard error, as text or as JSON;
- `storage`: errors of disks and databases, turned into errors that name the fix;
- `suggestions`: "Did you mean ...?"; `background_threads`: work that the end of the process does not wait for.
"""
