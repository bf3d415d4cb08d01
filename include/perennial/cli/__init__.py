"""The command line, `perennial`: a module for each group of commands, in the order in which `--help` lists them."""

# ruff: noqa: I001
from perennial.cli import services
from perennial.cli import pipelines
from perennial.cli import quarantine
from perennial.cli import decisions
from perennial.cli import reproduce
from perennial.cli.frame import app, main

__all__ = ["app", "decisions", "main", "pipelines", "quarantine", "reproduce", "services"]
