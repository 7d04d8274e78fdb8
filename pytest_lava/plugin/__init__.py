"""The pytest face, thin: options, fixtures, and the one decision whether this run uses boards at all.

pytest imports this module in every run, so it imports nothing but pytest. All else is registered in
``pytest_configure``, and only if a board was asked for.
"""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from pytest_lava.plugin.fixtures import (
    board,
    bootloader,
    image,
    kernel,
    lava_booting,
    lava_shell,
    lava_target,
    record_file,
    record_measurement,
    shell,
)
from pytest_lava.plugin.named_files import definition_without_board
from pytest_lava.plugin.options import pytest_addoption, wanted
from pytest_lava.plugin.script_hint import pytest_collection

__all__ = [
    "board",
    "bootloader",
    "image",
    "kernel",
    "lava_booting",
    "lava_shell",
    "lava_target",
    "pytest_addoption",
    "pytest_collection",
    "pytest_collection_finish",
    "pytest_configure",
    "pytest_ignore_collect",
    "pytest_report_header",
    "record_file",
    "record_measurement",
    "shell",
]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Validate what was asked for and take part in the run, if anything was asked for."""
    for mark in (
        "pristine: the board is as it was right after its boot",
        "board(*names, reset=False, exclusive=False): run on these boards or device types only; reset: as right after "
        "its boot; exclusive: nobody else has it meanwhile",
        "requires(memory=, arch=, feature=): skip on boards that have less memory, another architecture, or not the "
        "feature",
        "collect_files(*patterns): bring these files of the board, such as /var/log/*.log, to the result, when the "
        "test has ended, however it did",
    ):
        config.addinivalue_line("markers", mark)
    config.addinivalue_line("markers", "stress(limit, iterations): called again and again until it fails")
    if wanted(config):
        from pytest_lava.plugin.registration import take_part

        take_part(config)
    elif name := definition_without_board(config):
        raise pytest.UsageError(f"{name} needs a board: add --board=NAME, for example --board=localhost")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Nobody shall wait for results that are none."""
    idle = getattr(config.option, "lava_submit", None) and not wanted(config)
    return ["submit: nothing, as no board is used (--board)"] if idle else []


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Run folders hold results, not tests."""
    return True if (collection_path / "events.jsonl").is_file() else None


def pytest_collection_finish(session: pytest.Session) -> None:
    """A test that needs a board cannot run without one."""
    if wanted(session.config):
        gc.freeze()  # what pytest forces twice at exit would else walk all that start-up made: 25 ms each
        return
    if session.config.option.collectonly:
        return
    needy = [item.nodeid for item in session.items if "lava_target" in getattr(item, "fixturenames", ())]
    if needy:
        more = f" and {len(needy) - 1} more need" if len(needy) > 1 else " needs"
        raise pytest.UsageError(
            f"{needy[0]}{more} a board: add --board=NAME, for example --board=localhost, or deselect what needs one"
        )
