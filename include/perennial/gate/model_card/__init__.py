"""Model cards: one page for each registered version that says what it is, what it was made of and what it is not for.

After Mitchell et al., *Model Cards for Model Reporting* (2019), whose sections the card follows as far as something is
recorded for them. All of it comes from what MLflow and the ledger hold, so a card can be made again at any time, and
equal records give equal bytes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import mlflow

from perennial.gate.model_card import facts, pages
from perennial.registry import mlflow_tags, tracking
from perennial.use_case import UseCase

#: Where a version's MLflow run holds its card.
FOLDER = "model_card"
MARKDOWN, HTML = "model_card.md", "model_card.html"


def attach(use_case: UseCase, version: int) -> str:
    """Make the card of a registered version and log it to the version's run; return the card as Markdown.

    The version's tag `perennial.model_card` links to it, and so does its description, unless a person wrote another.
    Made again, after a decision for instance, the new card takes the place of the old one.

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
        server.set_model_version_tag(use_case.name, str(version), mlflow_tags.MODEL_CARD, link)
        said = server.get_model_version(use_case.name, str(version)).description
        # What a person wrote there stays.
        if not said or pages.LINK in said:
            server.update_model_version(use_case.name, str(version), pages.description(card, link))
    return files[MARKDOWN]


def read(use_case: UseCase, version: int, form: str = MARKDOWN) -> str:
    """The card that is attached to a version: its `MARKDOWN` or its `HTML`.

    Raises:
        PerennialError: there is no such version, or it has no card.
    """
    run_id = tracking.run_of(use_case, version)
    with tracking.reachable():
        return mlflow.artifacts.load_text(f"runs:/{run_id}/{FOLDER}/{form}")


def render(use_case: UseCase, version: int) -> dict[str, str]:
    """The card as `attach` would make it now, as `MARKDOWN` and as `HTML`; nothing is attached.

    Raises:
        PerennialError: there is no such version, or its run is gone.
    """
    return _files(facts.gather(use_case, version))


def _files(card: facts.Card) -> dict[str, str]:
    markdown = pages.markdown(card)
    return {MARKDOWN: markdown, HTML: pages.html(card, markdown)}
