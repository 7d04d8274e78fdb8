"""Texts of a sink's settings with ``{names}`` in them: checked when they are read, filled when a run is packed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator

from pytest_lava.results.record import Record

__all__ = ["PLACEHOLDERS", "Template", "facts", "fill"]

#: what may stand in braces
PLACEHOLDERS = ("board", "device_type", "arch", "target", "kernel", "commit", "sha256", "image", "run", "host", "date")
_BRACES = re.compile(r"\{([^{}]*)\}")


def _checked(text: str) -> str:
    for name in _BRACES.findall(text):
        if name not in PLACEHOLDERS:
            near = difflib.get_close_matches(name, PLACEHOLDERS, n=1)
            hint = f"did you mean {{{near[0]}}}?" if near else f"there are {{{'}, {'.join(PLACEHOLDERS)}}}"
            raise ValueError(f"there is no placeholder {{{name}}}; {hint}")
    return text


#: a text with placeholders, of a sink's ``Options``
Template = Annotated[str, AfterValidator(_checked)]


def fill(text: str, values: Mapping[str, str]) -> str:
    """``text`` with the values of :func:`facts` in it; what is not known is empty."""
    return _BRACES.sub(lambda found: values.get(found[1], ""), text).strip()


def facts(record: Record, target: str) -> dict[str, str]:
    """What placeholders stand for on one target of a run.

    ``kernel`` is its release, or else what tells it from others: commit, name or checksum. ``date`` is that of the run
    (UTC, ``2026-11-27``). ``sha256`` is the first 12 digits of the kernel's, or of the image's.
    """
    line = record.target(target)
    kernel, image = line.get("kernel") or {}, line.get("image") or {}
    commit = str((kernel.get("origin") or {}).get("commit") or "")
    sha256 = str(kernel.get("sha256") or image.get("sha256") or "")[:12]
    boards = (case.board for case in record.cases if case.target == target and case.board)
    board = str(line.get("board") or next(boards, target))
    release = record.kernel_release(target) or commit[:12] or str(kernel.get("name") or "") or sha256
    return {
        "board": board,
        "device_type": str(line.get("device_type") or board),
        "arch": str(line.get("arch") or ""),
        "target": target,
        "kernel": release,
        "commit": commit,
        "sha256": sha256,
        "image": str(image.get("name") or ""),
        "run": record.run,
        "host": str(record.head.get("host") or ""),
        "date": record.started[:10],
    }
