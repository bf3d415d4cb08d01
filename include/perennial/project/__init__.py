"""A team's own project: the files that `perennial init` writes, and how `perennial upgrade` brings them up to date.

- `shipped`: what the installed version writes, and what it says of changes in behaviour;
- `record`: which version wrote a project's files, with their digests;
- `starting`: a new project; `upgrading`: an existing one;
- `lake_records`: the columns that tables of the lake gain by the installed version.
"""
