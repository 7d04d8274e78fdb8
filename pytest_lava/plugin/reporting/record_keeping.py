"""The journal of a run: where it cannot be written any more, the run ends, as what it finds would be lost."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_lava.errors import DiskFull, ExitStatus
from pytest_lava.results.journal import Journal

__all__ = ["RunJournal"]


class RunJournal(Journal):
    """Ends the run by exit status 69 at the first line for which there is no room; later ones raise ``DiskFull``."""

    _full = False

    def write(self, kind: str, *, board: str = "", durable: bool = False, **fields: Any) -> None:
        """As :meth:`Journal.write`."""
        try:
            super().write(kind, board=board, durable=durable, **fields)
        except DiskFull as error:
            if self._full:
                raise
            self._full = True
            pytest.exit(
                f"the run ends here, its results so far are kept: {error}", returncode=int(ExitStatus.LAB_FAULT)
            )
