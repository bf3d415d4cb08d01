"""Model cards: one page for each registered version that says what it is, what it was made of and what it is not for.

After Mitchell et al., *Model Cards for Model Reporting* (2019), whose sections the card follows as far as something is
recorded for them. All of it comes from MLflow and the ledger, so a card can be rendered again at any time, and equal
records give equal bytes.

- `facts`: gathers what is recorded; `rendering`: writes it as Markdown and HTML;
- `attachment`: keeps it with the version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial._common.lazy_imports import attributes_of

if TYPE_CHECKING:
    from perennial.gate.model_card.attachment import FOLDER, HTML, MARKDOWN, attach, read, render

__all__ = ["FOLDER", "HTML", "MARKDOWN", "attach", "read", "render"]

__getattr__ = attributes_of(__name__, {".attachment": __all__})
