"""docs/jobs.md lists each key of a job, and what becomes of it, as the code has it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pytest_lava.jobs.json_jobs import COMMANDS
from pytest_lava.jobs.keys import BOOTS, DEPLOYS, PLACES, Key

PAGE = Path(__file__).parents[3] / "docs/jobs.md"
TITLES = {
    "job": "The job itself",
    "deploy": "`deploy`",
    "image": "An image, or `kernel`, `ramdisk`, `dtb`, `modules`, `rootfs`",
    "overlay": "An overlay",
    "boot": "`boot`",
    "auto_login": "`auto_login`",
    "test": "`test`",
    "definition": "An entry of `definitions`",
    "monitor": "An entry of `monitors`",
    "interactive": "An entry of `interactive`",
    "command": "A line of its `script`",
    "context": "`context`; whatever else is there is noted",
}


def rows(title: str) -> dict[str, tuple[str, ...]]:
    """The table of a section: each word of its first column, and the other columns."""
    text = re.split(r"^#+ ", PAGE.read_text(), flags=re.MULTILINE)
    (section,) = (part for part in text if part.startswith(f"{title}\n"))
    found: dict[str, tuple[str, ...]] = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            words, *others = line.strip("| ").split(" | ")
            found |= dict.fromkeys(re.findall(r"`([^`]+)`", words), tuple(others))
    return found


def said(keys: Mapping[str, Key]) -> dict[str, tuple[str, ...]]:
    return {name: (key.use, key.said) for name, key in keys.items()}


def test_every_key_of_a_job_has_its_row() -> None:
    assert TITLES.keys() == PLACES.keys()
    for place, keys in PLACES.items():
        assert rows(TITLES[place]) == said(keys), place
    assert rows("`to` of `deploy`") == said(DEPLOYS)
    assert rows("`method` of `boot`") == said(BOOTS)


def test_every_command_of_the_old_jobs_has_its_row() -> None:
    told = {name: (f"refused: {why}" if why else "run",) for name, why in COMMANDS.items()}
    assert rows("JSON jobs of 2011 to 2014") == told
