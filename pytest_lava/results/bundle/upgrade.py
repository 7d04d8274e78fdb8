"""A bundle in a newer version of its format, and several as one: nothing of what they say is lost."""

from __future__ import annotations

import base64
import copy
from collections.abc import Sequence
from typing import Any

from pytest_lava.errors import ConfigurationError
from pytest_lava.results.bundle.schema import KNOWN_VERSIONS, known_format, version_of

__all__ = ["merge", "upgrade"]

Bundle = dict[str, Any]


def upgrade(document: Bundle, version: str) -> Bundle:
    """A valid bundle as one of a newer version (or its own), valid too. The document itself stays as it is.

    From 1.1 on each version only added what was optional. Raises ``ConfigurationError`` for an older version, as that
    would lose something, or an unknown one.
    """
    form, own = known_format(version), version_of(document)
    if form.version < own:
        raise ConfigurationError(
            f"a bundle of version {own} cannot become one of {version}, which has no place for all of it; "
            "that of a run folder is made in any version by: pytest-lava bundle RUNFOLDER --format VERSION"
        )
    found = copy.deepcopy(document)
    for run in found.get("test_runs", []):
        if own < "1.0.1" <= version:
            _rename(run, "hw_context", "hardware_context")
            _rename(run, "sw_context", "software_context")
        if own < "1.1" <= version:
            _with_files(run)
    found["format"] = form.name
    return found


def merge(documents: Sequence[tuple[str, Bundle]], version: str = "") -> Bundle:
    """The test runs of several bundles (each with its name, for messages) as one.

    ``version`` is by default the newest among them. The same run in two bundles is there once. Raises
    ``ConfigurationError`` if two runs of one uuid differ, or if ``version`` is older than one of them.
    """
    version = version or max((version_of(document) for _, document in documents), key=KNOWN_VERSIONS.index)
    runs: dict[str, tuple[str, Bundle]] = {}
    for name, document in documents:
        for run in upgrade(document, version).get("test_runs", []):
            uuid = run["analyzer_assigned_uuid"].lower()
            other, known = runs.setdefault(uuid, (name, run))
            if known != run:
                raise ConfigurationError(
                    f"{other} and {name} both have a test run {uuid}, and they differ: leave one of them out"
                )
    return {"format": known_format(version).name, "test_runs": [run for _, run in runs.values()]}


def _rename(owner: Bundle, old: str, new: str) -> None:
    if old in owner:
        owner[new] = owner.pop(old)


def _with_files(run: Bundle) -> None:
    """1.1: an image has a name and no description, attachments are files and no lines of text."""
    software = run.get("software_context", {})
    if "sw_image" in software:
        software["image"] = {"name": software.pop("sw_image")["desc"]}
    if "attachments" in run:
        run["attachments"] = [
            {"pathname": name, "mime_type": "text/plain", "content": _base64("".join(lines))}
            for name, lines in sorted(run["attachments"].items())
        ]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()
