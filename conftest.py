"""The project's own test options; pytest also loads this when somebody runs a suite that ships with a checkout."""

from __future__ import annotations

import os


def pytest_report_header() -> str | None:
    """``LAVA_SOAK=1`` (``make soak``) runs the same checks with full counts; ``LAVA_SEED`` repeats a run."""
    return (
        f"soak: full counts, seed {os.environ.get('LAVA_SEED', 'by chance')}" if os.environ.get("LAVA_SOAK") else None
    )
