"""Files of a run folder: found only inside of it, and written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pytest_lava.durably import place_file
from pytest_lava.errors import InfrastructureError

__all__ = ["inside", "write_atomically"]


def inside(folder: Path, name: object) -> Path | None:
    """The file ``name`` of the run folder; None if it is missing or outside (a journal may come from a stranger)."""
    try:
        path = (folder / str(name)).resolve()
        return path if path.is_relative_to(folder.resolve()) and path.is_file() else None
    except (OSError, ValueError):
        return None


def write_atomically(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Whole and on the disk, or untouched. Raises ``InfrastructureError``."""
    try:
        place_file(path, data)
    except OSError as error:
        raise InfrastructureError(
            f"{path} cannot be written ({error.strerror}): make room, or choose another place"
        ) from error
