"""The dashboard bundle formats 1.0 to 1.7 as JSON Schema (draft-07), and the check of a document.

Written from the facts of linaro-dashboard-bundle and of the importer of lava-dashboard 0.29: what its database cannot
hold (lengths, NUMERIC(20,10)) or what it silently drops is refused here, since ``put`` accepts any garbage.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from pytest_lava.errors import Bug, ConfigurationError

__all__ = [
    "DEFAULT_VERSION",
    "KNOWN_VERSIONS",
    "VERSIONS",
    "BundleFormat",
    "bundle_format",
    "known_format",
    "schema",
    "validate",
    "version_of",
]

#: those that a run is written in
VERSIONS = ("1.3", "1.5", "1.6", "1.7")
#: all that there are, in their order, which is also that of the texts
KNOWN_VERSIONS = ("1.0", "1.0.1", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6", "1.7")
#: the newest that every known dashboard imports
DEFAULT_VERSION = "1.5"
_PREFIX = "Dashboard Bundle Format "
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"

Schema = dict[str, Any]


@dataclass(frozen=True)
class BundleFormat:
    """What a version of the format can hold."""

    version: str

    @property
    def name(self) -> str:
        """The text of the key ``format``."""
        return _PREFIX + self.version

    @property
    def contexts(self) -> tuple[str, str]:
        """The keys of what is known of hardware and software; shorter ones in 1.0."""
        return ("hw_context", "sw_context") if self.version == "1.0" else ("hardware_context", "software_context")

    @property
    def has_files(self) -> bool:
        """Attachments and sources as of 1.1; before, an attachment was a name and lines of text."""
        return self.version >= "1.1"

    @property
    def has_links(self) -> bool:
        """``public_url`` of attachments, and svn, since 1.2."""
        return self.version >= "1.2"

    @property
    def has_tags(self) -> bool:
        """``tags`` of a run, since 1.3."""
        return self.version >= "1.3"

    @property
    def has_duration(self) -> bool:
        """``test_duration`` of a run, since 1.4."""
        return self.version > "1.3"

    @property
    def has_result_attachments(self) -> bool:
        """Attachments of a single result, since 1.5."""
        return self.version >= "1.5"

    @property
    def has_testdef(self) -> bool:
        """``testdef_metadata``, since 1.6."""
        return self.version >= "1.6"


def bundle_format(version: str) -> BundleFormat:
    """The format of a version such as ``"1.5"``. Raises ``ConfigurationError`` for one we do not write."""
    if version not in VERSIONS:
        raise ConfigurationError(f"there is no bundle format {version!r}; choose one of {', '.join(VERSIONS)}")
    return BundleFormat(version)


def known_format(version: str) -> BundleFormat:
    """The format of any version that there is. Raises ``ConfigurationError`` for another one."""
    if version not in KNOWN_VERSIONS:
        raise ConfigurationError(f"there is no bundle format {version!r}; there are {', '.join(KNOWN_VERSIONS)}")
    return BundleFormat(version)


def version_of(document: object) -> str:
    """The version that a document claims; empty if it claims none that there is."""
    name = document.get("format") if isinstance(document, dict) else None
    return {_PREFIX + version: version for version in KNOWN_VERSIONS}.get(name, "") if isinstance(name, str) else ""


def validate(document: object, *, source: str = "") -> None:
    """Check a bundle against its own format, and what a schema cannot say: uuids, dates, base64, log file names.

    ``source`` names a user's file, whose mistakes are a ``ConfigurationError``; without it the bundle is one that we
    built, and a mistake is a ``Bug``.
    """
    mistake = _mistake(document) or ("" if source else next(_lost_logs(document), ""))
    if mistake and source:
        raise ConfigurationError(f"{source} is no valid dashboard bundle: {mistake}")
    if mistake:
        raise Bug(f"an invalid result bundle was built: {mistake}; please report it together with the journal")


def schema(version: str) -> Schema:
    """The JSON Schema of one version. Raises ``ConfigurationError`` for an unknown one."""
    form = known_format(version)
    runs = {"type": "array", "items": _run(form)}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": form.name,
        **_object({"format": {"const": form.name}, "test_runs": runs}, ["format"]),
    }


def _run(form: BundleFormat) -> Schema:
    properties: Schema = {
        "analyzer_assigned_uuid": {
            "type": "string",
            "pattern": "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
        },
        "analyzer_assigned_date": _date(),
        "time_check_performed": {"type": "boolean"},
        "test_id": _string(64, least=1),
        "test_results": {"type": "array", "items": _result(form)},
        "attributes": _attributes(),
        "attachments": {"type": "array", "items": _attachment(form)} if form.has_files else _lines(),
        form.contexts[0]: _hardware(),
        form.contexts[1]: _software(form),
    }
    if form.has_tags:
        tag = {**_string(256), "pattern": "^[a-z0-9-]+$"}
        properties["tags"] = {"type": "array", "items": tag, "uniqueItems": True}
    if form.has_duration:
        properties["test_duration"] = _duration()
    if form.has_testdef:
        properties["testdef_metadata"] = _testdef(extra=form.version >= "1.7")
    required = ["analyzer_assigned_uuid", "analyzer_assigned_date", "time_check_performed", "test_id", "test_results"]
    return _object(properties, required)


def _result(form: BundleFormat) -> Schema:
    properties: Schema = {
        "result": {"enum": ["pass", "fail", "skip", "unknown"]},
        "test_case_id": _string(100, least=1),
        "message": _string(1024),
        "measurement": {"type": "number"},
        "units": _string(None),
        "timestamp": _date(),
        "duration": _duration(),
        "log_filename": _string(256),
        "log_lineno": {"type": "integer", "minimum": 1},
        "attributes": _attributes(),
    }
    if form.has_result_attachments:
        # the importer of 1.5 reads the content of these unconditionally, a public_url alone kills the import
        properties["attachments"] = {"type": "array", "items": _attachment(form, of_result=True)}
    needs = {"measurement": ["test_case_id"], "units": ["measurement"], "log_lineno": ["log_filename"]}
    return {**_object(properties, ["result"]), "dependencies": needs}


def _attachment(form: BundleFormat, *, of_result: bool = False) -> Schema:
    # the alphabet of content is checked by _mistake: a pattern would take seconds for a serial log
    content = {"type": "string"}
    properties = {"pathname": _string(256), "mime_type": _string(64), "content": content}
    if form.has_links:
        properties["public_url"] = _string(512)
    needed = [] if form.has_links and not of_result else ["content"]
    return _object(properties, ["pathname", "mime_type", *needed])


def _lines() -> Schema:
    lines = {"type": "array", "items": {"type": "string"}}
    return {"type": "object", "propertyNames": _string(256), "additionalProperties": lines}


def _hardware() -> Schema:
    values = {"type": "object", "additionalProperties": {"type": ["number", "string"]}}
    required = ["device_type", "description"]
    device = _object({"device_type": _string(32), "description": _string(256), "attributes": values}, required)
    return _object({"devices": {"type": "array", "items": device}}, ["devices"])


def _software(form: BundleFormat) -> Schema:
    package = _object({"name": _string(128), "version": _string(128)}, ["name", "version"])
    packages = {"type": "array", "items": package}
    if not form.has_files:
        return _object({"sw_image": _object({"desc": _string(100)}, ["desc"]), "packages": packages}, [])
    vcs = ["bzr", "git"] + (["svn"] if form.has_links else []) + (["tar", "url"] if form.has_testdef else [])
    source: Schema = {
        "project_name": _string(32),
        "branch_vcs": {"enum": vcs},
        "branch_url": _string(256),
        "branch_revision": {"type": ["string", "integer"]},
        "commit_timestamp": _date(),
    }
    if form.version >= "1.7":
        source |= {"default_params": _string(None), "test_params": _string(None)}
    one = _object(source, ["project_name", "branch_vcs", "branch_url", "branch_revision"])
    image, sources = _object({"name": _string(100)}, ["name"]), {"type": "array", "items": one}
    return _object({"image": image, "packages": packages, "sources": sources}, [])


def _testdef(*, extra: bool) -> Schema:
    names = ["description", "version", "format", "location", "url", "environment", "os", "devices"]
    return {**_object({name: _string(None) for name in names}, names), "additionalProperties": extra}


def _object(properties: Schema, required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _string(most: int | None, *, least: int = 0) -> Schema:
    limits = {"maxLength": most} if most is not None else {}
    return {"type": "string", **limits, **({"minLength": least} if least else {})}


def _attributes() -> Schema:
    # the importer applies str() of Python 2 to names and values
    ascii_text = {"type": "string", "pattern": "^[\\x00-\\x7f]*$"}
    return {"type": "object", "propertyNames": ascii_text, "additionalProperties": ascii_text}


def _date() -> Schema:
    return {"type": "string", "pattern": _DATE, "format": "calendar"}


def _duration() -> Schema:
    return {"type": "string", "pattern": "^[0-9]+d [0-9]+s [0-9]+us$"}


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text.removesuffix("Z"))  # the pattern beside it says the rest; strptime is slow
    except ValueError:
        return False
    return True


@cache  # compiling takes longer than checking; the result depends on the version alone
def _compiled(version: str) -> Callable[[object], object]:
    import fastjsonschema

    check: Callable[[object], object] = fastjsonschema.compile(
        schema(version), formats={"calendar": _is_date}, use_default=False
    )
    return check


def _mistake(document: object) -> str:
    """The first thing that is wrong, empty if nothing is."""
    import fastjsonschema

    version = version_of(document)
    if not isinstance(document, dict) or not version:
        name = document.get("format") if isinstance(document, dict) else None
        return f"its format is {name!r}, not {_PREFIX}{', '.join(KNOWN_VERSIONS)}"
    try:
        _compiled(version)(document)
    except fastjsonschema.JsonSchemaValueException as error:
        return str(error.message).removeprefix("data.")[:400]
    return next(_further_mistakes(document), "")


def _further_mistakes(document: Schema) -> Iterator[str]:
    seen: set[str] = set()
    for number, run in enumerate(document.get("test_runs", [])):
        where = f"test_runs[{number}]"
        uuid = run["analyzer_assigned_uuid"].lower()
        if uuid in seen:
            yield f"{where}.analyzer_assigned_uuid {uuid} is used twice"
        seen.add(uuid)
        if isinstance(run.get("attachments"), dict):  # lines of text, before 1.1
            continue
        yield from _bad_base64(where, run)
        for index, result in enumerate(run["test_results"]):
            yield from _bad_base64(f"{where}.test_results[{index}]", result)


def _lost_logs(document: Any) -> Iterator[str]:
    """What every server takes, though it leads nowhere: so it is a mistake in what we write only."""
    for number, run in enumerate(document.get("test_runs", [])):
        names = {attachment["pathname"] for attachment in run.get("attachments", [])}
        for index, result in enumerate(run["test_results"]):
            log = result.get("log_filename")
            if log is not None and log not in names:
                yield f"test_runs[{number}].test_results[{index}].log_filename {log!r} is no attachment of its run"


def _bad_base64(where: str, owner: Schema) -> Iterator[str]:
    for attachment in owner.get("attachments", []):
        try:
            binascii.a2b_base64(attachment.get("content", ""), strict_mode=True)
        except ValueError as error:
            yield f"{where}.attachments: the content of {attachment['pathname']!r} is no base64: {error}"
