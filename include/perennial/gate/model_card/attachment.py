"""Attaches a version's model card to its MLflow run and to the registered version, and reads it back."""

from __future__ import annotations

import tempfile
from pathlib import Path

import mlflow

from perennial.gate.model_card import facts, rendering
from perennial.registry import mlflow_tags, tracking
from perennial.registry.mlflow_artifacts import CARD_FOLDER as FOLDER
from perennial.registry.mlflow_artifacts import CARD_HTML as HTML
from perennial.registry.mlflow_artifacts import CARD_MARKDOWN as MARKDOWN
from perennial.use_case import UseCase


def attach(use_case: UseCase, version: int) -> str:
    """Render the card of a registered version and log it to the version's run.

    The version's tag `perennial.model_card` links to it, and so does its description, unless a person wrote another.
    Attached again, after a decision for instance, the new card replaces the old one.

    Args:
        use_case: Whose model.
        version: The registered version.

    Returns:
        The card as Markdown.

    Raises:
        PerennialError: there is no such version, or its run is gone.
    """
    card = facts.gather(use_case, version)
    files = _files(card)
    with tracking.reachable(), tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            Path(folder, name).write_text(content, encoding="utf-8")
        server = tracking.client()
        server.log_artifacts(card.run_id, folder, FOLDER)
        link = f"{card.run_url}/artifacts/{FOLDER}/{HTML}"
        server.set_model_version_tag(tracking.model_name(use_case), str(version), mlflow_tags.MODEL_CARD, link)
        current = server.get_model_version(tracking.model_name(use_case), str(version)).description
        # What a person wrote there stays.
        if not current or rendering.LINK in current:
            server.update_model_version(tracking.model_name(use_case), str(version), rendering.description(card, link))
    return files[MARKDOWN]


def read(use_case: UseCase, version: int, form: str = MARKDOWN) -> str:
    """The card that is attached to a version.

    Args:
        use_case: Whose model.
        version: The registered version.
        form: `MARKDOWN` or `HTML`.

    Raises:
        PerennialError: there is no such version, or it has no card.
    """
    run_id = tracking.run_of(use_case, version)
    with tracking.reachable():
        return mlflow.artifacts.load_text(f"runs:/{run_id}/{FOLDER}/{form}")


def render(use_case: UseCase, version: int) -> dict[str, str]:
    """The card as `attach` would log it now; nothing is attached.

    Args:
        use_case: Whose model.
        version: The registered version.

    Returns:
        The card's text as `MARKDOWN` and as `HTML`.

    Raises:
        PerennialError: there is no such version, or its run is gone.
    """
    return _files(facts.gather(use_case, version))


def _files(card: facts.Card) -> dict[str, str]:
    markdown = rendering.markdown(card)
    return {MARKDOWN: markdown, HTML: rendering.html(card, markdown)}
