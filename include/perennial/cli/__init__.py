"""The command line, `perennial`: a module for each group of commands, in the order in which `--help` lists them."""

# ruff: noqa: I001
try:
    from perennial.cli import services
    from perennial.cli import tools
    from perennial.cli import project
    from perennial.cli import new
    from perennial.cli import doctor
    from perennial.cli import pipelines
    from perennial.cli import serving
    from perennial.cli import ask
    from perennial.cli import explain
    from perennial.cli import ahead
    from perennial.cli import quarantine
    from perennial.cli import incidents
    from perennial.cli import alerts
    from perennial.cli import decisions
    from perennial.cli import reproduce
    from perennial.cli import dossier
    from perennial.cli import features
    from perennial.cli import deploy
    from perennial.cli import staleness
    from perennial.cli import backtest
    from perennial.cli import retire
    from perennial.cli import telemetry
    from perennial.cli import costs
    from perennial.cli import audit
    from perennial.cli.frame import app, main
except KeyboardInterrupt:
    import sys

    print("\nInterrupted. Nothing was started.", file=sys.stderr, flush=True)
    raise SystemExit(130) from None

__all__ = [
    "ahead",
    "alerts",
    "app",
    "ask",
    "audit",
    "backtest",
    "costs",
    "decisions",
    "deploy",
    "doctor",
    "dossier",
    "explain",
    "features",
    "incidents",
    "main",
    "new",
    "pipelines",
    "project",
    "quarantine",
    "reproduce",
    "retire",
    "services",
    "serving",
    "staleness",
    "telemetry",
    "tools",
]
