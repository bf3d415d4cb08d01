"""The command line, `perennial`: a module for each group of commands, in the order in which `--help` lists them."""

# ruff: noqa: I001
from perennial.cli import services
from perennial.cli import pipelines
from perennial.cli.frame import app, main

__all__ = ["app", "main", "pipelines", "services"]
