"""Translates expectations to SQL: what DuckDB must compute of a table so that Great Expectations can decide.

Only where the answer is the one that Great Expectations gives for the same rows on pandas: DuckDB and pandas compare
the column's type alike, the bounds are of that type, and the pattern means the same to Python and to RE2. Everything
else has no translation and stays with Great Expectations.

`translation` maps expectations to `row_conditions`, `aggregates` or facts of the schema; `columns` holds what these
share, `patterns` the regular expressions.
"""
