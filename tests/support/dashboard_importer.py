"""What a dashboard does with the text of a bundle: the checks and conversions of its importer, and its database.

From the behaviour of lava-dashboard 0.29 on PostgreSQL: a bundle is imported whole or not at all, results without an
id are dropped without a word, attributes go through ``str()`` of Python 2, columns have limits.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from json_schema_validator.errors import ValidationError
from json_schema_validator.schema import Schema
from json_schema_validator.validator import Validator

from support.dashboard_schema import FORMATS, NAME, dialect

__all__ = ["Database", "ImportFailed", "Result"]

_DURATION = re.compile(r"^(\d+)d (\d+)s (\d+)us$")
_LIMITS = {"test_id": 64, "message": 1024, "log_filename": 256, "mime_type": 64, "pathname": 256, "device_type": 32}
_LIMITS |= {"description": 256, "project_name": 32, "branch_url": 256}


class ImportFailed(Exception):
    """Nothing of the bundle is in the database; the text is what the server says."""


@dataclass(frozen=True)
class Result:
    """One row, as it can be read back."""

    run: str
    test: str
    case: str
    result: str
    measurement: Decimal | None
    attachments: dict[str, bytes] = field(hash=False, default_factory=dict)


@dataclass
class Database:
    """All that was imported."""

    runs: dict[str, str] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)

    def load(self, text: str) -> None:
        """Import a bundle. Raises ``ImportFailed``."""
        try:
            document = json.loads(text, parse_float=Decimal)
        except ValueError as error:
            raise ImportFailed(str(error)) from None
        name = document.get("format") if isinstance(document, dict) else None
        version = str(name).removeprefix(NAME)
        if version not in FORMATS or name != NAME + version:
            raise ImportFailed(f"Unrecognized or missing document format: {name!r}")
        try:
            Validator.validate(Schema(dialect(version)), document)
        except ValidationError as error:
            raise ImportFailed(f"{error.new_message} {error.object_expr}") from None
        runs: dict[str, str] = {}
        results: list[Result] = []
        for run in document.get("test_runs", []):
            results += self._run(version, run, runs)
        self.runs |= runs  # one transaction
        self.results += results

    def _run(self, version: str, run: dict[str, Any], runs: dict[str, str]) -> Iterator[Result]:
        try:
            uuid = str(UUID(run["analyzer_assigned_uuid"]))
        except ValueError as error:
            raise ImportFailed(str(error)) from None
        if uuid in self.runs or uuid in runs:
            raise ImportFailed(f"A test with UUID {uuid} already exists")
        runs[uuid] = run["test_id"]
        _limits(run)
        for key in ("hardware_context", "software_context", "hw_context", "sw_context"):
            _limits(run.get(key, {}))
        _attributes(run)
        _timedelta(run.get("test_duration"))
        if version >= "1.1":
            for one in run.get("attachments", []):
                _content(one, needed=False)
        for result in run["test_results"]:
            row = _result(uuid, run["test_id"], result)
            if "test_case_id" in result:  # else the join finds no test case
                yield row


def _result(uuid: str, test: str, result: dict[str, Any]) -> Result:
    _limits(result)
    _attributes(result)
    _timedelta(result.get("duration"))
    size = result.get("measurement")
    if size is not None and abs(round(Decimal(size), 10)) >= Decimal(10) ** 10:
        raise ImportFailed("numeric field overflow")
    files = {one["pathname"]: _content(one, needed=True) for one in result.get("attachments", [])}
    return Result(uuid, test, result.get("test_case_id", ""), result["result"], size, files)


def _content(one: dict[str, Any], *, needed: bool) -> bytes:
    if needed and "content" not in one:
        raise ImportFailed("'content'")  # a KeyError
    try:
        return base64.standard_b64decode(one.get("content", ""))
    except ValueError as error:
        raise ImportFailed(str(error)) from None


def _timedelta(text: str | None) -> None:
    if text and not _DURATION.match(text):
        raise ImportFailed(f"time data {text!r} does not match")


def _attributes(owner: dict[str, Any]) -> None:
    for name, value in owner.get("attributes", {}).items():
        if not (name + str(value)).isascii():
            raise ImportFailed("'ascii' codec can't encode characters: ordinal not in range(128)")


def _limits(found: Any) -> None:
    """The columns of whatever is below."""
    if isinstance(found, list):
        for one in found:
            _limits(one)
    elif isinstance(found, dict):
        for name, value in found.items():
            if isinstance(value, str) and len(value) > _LIMITS.get(name, len(value)):
                raise ImportFailed(f"value too long for type character varying({_LIMITS[name]})")
            if name != "attributes":
                _limits(value)
