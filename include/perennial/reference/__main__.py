"""`python -m perennial.reference docs` writes the pages into the folder docs/."""

from __future__ import annotations

import sys
from pathlib import Path

from perennial import reference

reference.write(Path(sys.argv[1]))
