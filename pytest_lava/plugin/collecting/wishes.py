"""What the marks ``board``, ``requires`` and ``stress`` say of a test, read and checked, away from any board."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, get_args

import pytest

from pytest_lava.config.boards import BoardConfig
from pytest_lava.config.model import Arch
from pytest_lava.errors import ConfigurationError
from pytest_lava.images.housekeeping import parse_size
from pytest_lava.plan import Target
from pytest_lava.stress.plan import parse_limits

__all__ = ["Wishes", "mistakes", "read_wishes", "refused"]

_BOARD = ("reset", "exclusive")
_REQUIRES = ("memory", "arch", "feature")
_STRESS = ("limit", "iterations")
_ARCHES = tuple(name for name in get_args(Arch) if name != "host")
_ALIASES = {
    "amd64": "x86_64",
    "x86-64": "x86_64",
    "aarch64": "arm64",
    "armhf": "arm",
    "armv7l": "arm",
    "i386": "x86",
    "i686": "x86",
}


@dataclass(frozen=True)
class Wishes:
    """``memory`` in bytes; empty names and the like mean any."""

    boards: tuple[str, ...] = ()
    arch: str = ""
    features: frozenset[str] = frozenset()
    memory: int = 0
    memory_text: str = ""
    reset: bool = False
    exclusive: bool = False

    def refused_by(self, board: BoardConfig) -> str:
        """Why the test cannot run on it, as far as its file tells; empty if it can."""
        if self.boards and not any(name in board.chain for name in self.boards):
            return f"it is for board {' or '.join(self.boards)}, not for {board.name}"
        if self.arch and self.arch != board.arch:
            return f"it requires arch {self.arch}, and {board.name} is {board.arch}"
        if missing := sorted(self.features - set(board.model.features)):
            return f"it requires the feature {', '.join(missing)}, which the board file of {board.name} does not list"
        if installed := board.model.hardware.memory:
            return self.too_small(board.name, parse_size(installed, board.name), installed)
        return ""

    def too_small(self, name: str, memory: int, shown: str) -> str:
        """Why ``memory`` bytes, ``shown`` to people, do not do; empty if they do."""
        return f"it requires memory of {self.memory_text}, and {name} has {shown}" if memory < self.memory else ""

    def asks_memory_of(self, board: BoardConfig) -> bool:
        """Whether only the running board can tell if its memory does."""
        return bool(self.memory) and not board.model.hardware.memory


def refused(wishes: Wishes, target: Target) -> str:
    """Why a test cannot run on any board of a target; empty if it may."""
    reasons = [wishes.refused_by(board) for board in target.request.candidates]
    return reasons[0] if all(reasons) else ""


def read_wishes(node: pytest.Item | Any) -> Wishes:
    """All marks of a test, its class and its module together; of two that contradict each other the closest counts.

    Features add up. What :func:`mistakes` tells is left out.
    """
    boards: tuple[str, ...] = ()
    switches: dict[str, bool] = {}
    needs: dict[str, str] = {}
    features: set[str] = set()
    for mark in node.iter_markers("board"):
        if not list(_of_board(mark)):
            boards = boards or mark.args
            switches = {**mark.kwargs, **switches}
    for mark in node.iter_markers("requires"):
        if not list(_of_requires(mark)):
            features |= set(_features(mark.kwargs.get("feature", ())))
            needs = {**{name: text for name, text in mark.kwargs.items() if name != "feature"}, **needs}
    memory = needs.get("memory", "")
    return Wishes(
        boards=boards,
        arch=needs.get("arch", ""),
        features=frozenset(features),
        memory=parse_size(memory, "memory") if memory else 0,
        memory_text=memory,
        **switches,
    )


def mistakes(node: pytest.Item | Any) -> Iterator[str]:
    """What is wrong with its marks, a sentence each."""
    for mark in node.iter_markers("board"):
        yield from (f"@pytest.mark.board: {what}" for what in _of_board(mark))
    for mark in node.iter_markers("requires"):
        yield from (f"@pytest.mark.requires: {what}" for what in _of_requires(mark))
    for mark in node.iter_markers("stress"):
        yield from (f"@pytest.mark.stress: {what}" for what in _of_stress(mark))
    for mark in node.iter_markers("collect_files"):
        yield from (f"@pytest.mark.collect_files: {what}" for what in _of_files(mark))


def _of_stress(mark: pytest.Mark) -> Iterator[str]:
    if mark.args:
        yield f'say what its limit is by a keyword, such as limit="2h", not {mark.args[0]!r}'
    yield from _unknown(mark.kwargs, _STRESS)
    limit, iterations = mark.kwargs.get("limit"), mark.kwargs.get("iterations")
    for time, number in ((limit, None), (None, iterations)):
        try:
            parse_limits(time, number, names=_STRESS)
        except ConfigurationError as error:
            yield str(error)


def _of_board(mark: pytest.Mark) -> Iterator[str]:
    if not mark.args and not mark.kwargs:
        yield 'it says nothing: name a board or a device type, such as board("panda"), or set reset or exclusive'
    for name in mark.args:
        if not isinstance(name, str) or not name:
            yield f"a board's name has to be a text, not {name!r}"
    yield from _unknown(mark.kwargs, _BOARD)
    for key in _BOARD:
        if not isinstance(value := mark.kwargs.get(key, False), bool):
            yield f"{key} has to be True or False, not {value!r}"


def _of_requires(mark: pytest.Mark) -> Iterator[str]:
    if mark.args:
        yield f'say what is required by a keyword, such as memory="512M", not {mark.args[0]!r}'
    elif not mark.kwargs:
        yield 'it says nothing: write memory="512M", arch="arm64" or feature="network"'
    yield from _unknown(mark.kwargs, _REQUIRES)
    for key in ("memory", "arch"):
        if not isinstance(value := mark.kwargs.get(key, ""), str):
            yield f"{key} has to be a text, not {value!r}"
    memory, arch = mark.kwargs.get("memory"), mark.kwargs.get("arch")
    if isinstance(memory, str):
        try:
            parse_size(memory, "memory")
        except ConfigurationError as error:
            yield str(error)
    if isinstance(arch, str) and arch not in _ARCHES:
        yield f"there is no arch {arch!r}; there are {', '.join(_ARCHES)}{_near(_ALIASES.get(arch, arch), _ARCHES)}"
    features = mark.kwargs.get("feature", "any")
    if not _features(features) or not all(isinstance(name, str) and name for name in _features(features)):
        yield f"feature has to be a text, or a list of texts, not {features!r}"


def _of_files(mark: pytest.Mark) -> Iterator[str]:
    if not mark.args:
        yield 'it says nothing: name files of the board, such as collect_files("/var/log/*.log")'
    for pattern in mark.args:
        if not isinstance(pattern, str) or not pattern or "\0" in pattern:
            yield f"a file's name has to be a text, not {pattern!r}"
    yield from _unknown(mark.kwargs, ())


def _features(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (list, tuple, set, frozenset)) else (value,)


def _unknown(given: Iterable[str], known: tuple[str, ...]) -> Iterator[str]:
    for key in given:
        if key not in known:
            there = f"; there are {', '.join(known)}{_near(key, known)}" if known else ", and no other keyword"
            yield f"there is no {key!r}{there}"


def _near(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
