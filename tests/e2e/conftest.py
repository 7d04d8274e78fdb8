"""What end-to-end tests share: a desk to work at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lava_desk import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A folder and an environment for pytest runs as a user starts them; what they leave is ended afterwards."""
    desk = Desk(tmp_path)
    yield desk
    desk.clear()
