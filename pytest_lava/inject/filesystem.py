"""The seam between what goes where and a file system that can be edited: ``Editable``, what it has and gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pytest_lava.inject.entries import Entry

__all__ = ["Editable", "Node", "NodeKind", "NotEditable", "Placed"]

NodeKind = Literal["folder", "file", "symlink", "other"]


class NotEditable(Exception):
    """This image cannot be edited here; the message says why. What goes in has to wait for the running board."""


@dataclass(frozen=True, slots=True)
class Node:
    """What stands under a name: ``shared`` if it has other names too, as far as that is known."""

    kind: NodeKind
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Placed:
    """An entry whose path leads through folders only, no symbolic links; ``over`` is what has to go first."""

    entry: Entry
    over: Node | None = None


class Editable(Protocol):
    """A file system in an image, or on a board. Paths have no leading slash; ``""`` is the root.

    ``name`` is for messages; with ``folds`` names differ in more than case.
    """

    name: str
    folds: bool

    def listings(self, folders: Sequence[str]) -> Mapping[str, Mapping[str, Node]]:
        """What is in these folders, all of which are there."""

    def targets(self, symlinks: Sequence[str]) -> Mapping[str, str]:
        """What these symbolic links hold."""

    def apply(self, placed: Sequence[Placed]) -> Sequence[str]:
        """Make all of it, in order; sentences about what this file system could not hold.

        ``InjectFailed`` if it cannot, ``InfrastructureError`` if a program fails.
        """
