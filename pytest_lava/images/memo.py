"""Facts about files (checksums, what is inside), worked out once and kept as long as the file stays the same."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_lava.errors import ConfigurationError
from pytest_lava.images.cache import replace_file

__all__ = ["remembered", "sha256_of"]

#: a file changed less than this before it was read could change again within the same tick of the file system's clock
_SETTLED_NS = 50_000_000


def sha256_of(path: Path, cache: Path) -> str:
    """The SHA-256 of a file in hexadecimal; of an unchanged file without reading it again.

    Unchanged means size, mtime_ns, ctime_ns, device and inode. Raises ``ConfigurationError`` if it cannot be read.
    """
    return str(remembered(path, "sha256", _sha256, cache))


def remembered(path: Path, what: str, find_out: Callable[[Path], Any], cache: Path) -> Any:
    """``find_out(path)``, or what it returned before for the same unchanged file. The value must fit into JSON.

    ``what`` names the fact and the version of the code that finds it out. Each fact has a small file of its own in
    the folder ``cache``, named after the path, so that runs at the same time do not disturb each
    other. Raises ``ConfigurationError`` if the file cannot be read, and what ``find_out`` raises (which is not
    remembered).
    """
    try:
        before = _identity(path)
        name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]
        store = cache / "facts" / f"{name}.{what}"
        known = _load(store)
        if known is not None and known.get("is") == before:
            return known["value"]
        value = find_out(path)
        settled = time.time_ns() - max(before[1], before[2]) > _SETTLED_NS
        if settled and _identity(path) == before:
            _store(store, {"is": before, "path": str(path), "value": value})
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from error
    return value


def _identity(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino]


def _load(store: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(store.read_bytes())
    except (OSError, ValueError):
        return None  # never seen, or damaged: find out again
    return found if isinstance(found, dict) and "value" in found else None


def _store(store: Path, content: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, not the run
        replace_file(store, json.dumps(content).encode())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
