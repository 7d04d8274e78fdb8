"""Our schema against example documents, written from what the original validator and the importer accept."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest

from pytest_lava.errors import Bug, ConfigurationError
from pytest_lava.results.bundle.schema import VERSIONS, schema, validate

Document = dict[str, Any]
UUID = "1ab86b36-c23d-11df-a81b-002163936223"
CONTENT = base64.b64encode(b"hello\n").decode()
TESTDEF = dict.fromkeys(("description", "version", "format", "location", "url", "environment", "os", "devices"), "")


def document(version: str) -> Document:
    """Everything that a version can hold, once."""
    source = {
        "project_name": "linux-linaro", "branch_vcs": "git", "branch_url": "git://example.org/linux.git",
        "branch_revision": 5, "commit_timestamp": "2026-09-17T16:34:21Z",
    }  # fmt: skip
    run: Document = {
        "analyzer_assigned_uuid": UUID,
        "analyzer_assigned_date": "2026-11-14T01:03:06Z",
        "time_check_performed": False,
        "test_id": "org.example.stream",
        "test_results": [
            {
                "test_case_id": "copy", "result": "unknown", "message": "fast", "measurement": 2.5, "units": "MB/s",
                "timestamp": "2026-11-14T01:03:06Z", "duration": "0d 1s 134us", "log_filename": "stream.txt",
                "log_lineno": 7, "attributes": {"outcome": "passed"},
            },
            {"result": "pass"},
        ],
        "attributes": {"target": "panda01", "empty": ""},
        "tags": ["emulated", "nightly-1"],
        "attachments": [
            {"pathname": "stream.txt", "mime_type": "text/plain", "content": CONTENT},
            {"pathname": "big.log", "mime_type": "text/plain", "public_url": "http://example.org/big.log"},
        ],
        "hardware_context": {
            "devices": [{"device_type": "device.cpu", "description": "A9", "attributes": {"MHz": 1000, "id": "0"}}]
        },
        "software_context": {
            "image": {"name": "nano"}, "packages": [{"name": "linux", "version": "6.1"}], "sources": [source],
        },
    }  # fmt: skip
    if version >= "1.5":
        run["test_duration"] = "0d 5s 0us"
        run["test_results"][0]["attachments"] = [
            {"pathname": "a.txt", "mime_type": "text/plain", "content": CONTENT, "public_url": "http://example.org/a"}
        ]
    if version >= "1.6":
        run["testdef_metadata"] = dict(TESTDEF)
    if version >= "1.7":
        run["testdef_metadata"]["more"] = 1
        source |= {"default_params": "A=1", "test_params": "B=2"}
    return {"format": f"Dashboard Bundle Format {version}", "test_runs": [run]}


def changed(version: str, path: str, value: object) -> Document:
    """The whole document with one place changed; ``...`` removes it."""
    found = copy.deepcopy(document(version))
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    owner: Any = found["test_runs"][0]
    for part in way:
        owner = owner[part]
    if value is ...:
        del owner[last]
    else:
        owner[last] = value
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_the_whole_and_the_smallest_document_are_valid(version: str) -> None:
    validate(document(version))
    validate({"format": f"Dashboard Bundle Format {version}"})
    validate({"format": f"Dashboard Bundle Format {version}", "test_runs": []})
    assert json.loads(json.dumps(schema(version))) == schema(version)


INVALID = [
    ("trailing", "x"),
    ("analyzer_assigned_uuid", ...),
    ("analyzer_assigned_uuid", "1ab86b36"),
    ("analyzer_assigned_uuid", UUID + "\n"),
    ("analyzer_assigned_date", "2026-11-14T01:03:06.5Z"),
    ("analyzer_assigned_date", "2026-11-14T01:03:06+00:00"),
    ("analyzer_assigned_date", "2026-1-14T01:03:06Z"),
    ("analyzer_assigned_date", "2026-02-30T01:03:06Z"),
    ("analyzer_assigned_date", "2026-11-14T25:03:06Z"),
    ("analyzer_assigned_date", "2026-11-14T01:03:06Z\n"),
    ("time_check_performed", 0),
    ("time_check_performed", "false"),
    ("test_id", ""),
    ("test_id", "x" * 65),
    ("test_results", ...),
    ("test_results", {}),
    ("test_results.0.result", "error"),
    ("test_results.0.result", ...),
    ("test_results.0.test_case_id", ...),
    ("test_results.0.test_case_id", "x" * 101),
    ("test_results.0.message", "x" * 1025),
    ("test_results.0.measurement", ...),
    ("test_results.0.measurement", "2.5"),
    ("test_results.0.measurement", True),
    ("test_results.0.duration", "1.5"),
    ("test_results.0.duration", "0d 1s"),
    ("test_results.0.duration", "0d 1.5s 0us"),
    ("test_results.0.timestamp", "2026-11-14 01:03:06"),
    ("test_results.0.log_filename", ...),
    ("test_results.0.log_filename", "other.txt"),
    ("test_results.0.log_lineno", "7"),
    ("test_results.0.log_lineno", 0),
    ("test_results.0.attributes", {"status": 0}),
    ("test_results.0.attributes", {"status": None}),
    ("test_results.0.attributes", {"board": "日本"}),
    ("test_results.0.attributes", {"日本": "board"}),
    ("test_results.1.unknown_key", "x"),
    ("tags", ["two words"]),
    ("tags", ["a", "a"]),
    ("attributes", {"memory": 512}),
    ("attachments.0.mime_type", ...),
    ("attachments.0.pathname", ...),
    ("attachments.0.pathname", "x" * 257),
    ("attachments.0.content", "not base64!"),
    ("attachments.0.content", "YQ"),
    ("attachments.0.lines", ["old"]),
    ("hardware_context.devices", ...),
    ("hardware_context.devices.0.device_type", "x" * 33),
    ("hardware_context.devices.0.attributes", {"ok": True}),
    ("software_context.image", {}),
    ("software_context.image.desc", "1.0 had this"),
    ("software_context.packages.0.version", ...),
    ("software_context.sources.0.branch_vcs", "cvs"),
    ("software_context.sources.0.branch_revision", 1.5),
    ("hw_context", {}),
]


@pytest.mark.parametrize("path, value", INVALID, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("version", VERSIONS)
def test_what_no_version_takes(version: str, path: str, value: object) -> None:
    with pytest.raises(Bug):
        validate(changed(version, path, value))


@pytest.mark.parametrize(
    "path, value, since",
    [
        ("test_duration", "0d 1s 0us", "1.5"),
        ("test_results.0.attachments", [{"pathname": "a", "mime_type": "b", "content": ""}], "1.5"),
        ("testdef_metadata", dict(TESTDEF), "1.6"),
        ("software_context.sources.0.branch_vcs", "tar", "1.6"),
        ("software_context.sources.0.branch_vcs", "url", "1.6"),
        ("testdef_metadata", {**TESTDEF, "more": [1]}, "1.7"),
        ("software_context.sources.0.test_params", "A=1", "1.7"),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_what_came_later(version: str, path: str, value: object, since: str) -> None:
    found = changed(version, path, value)
    if version >= since:
        validate(found)
    else:
        with pytest.raises(Bug):
            validate(found)


@pytest.mark.parametrize("version", ["1.5", "1.6", "1.7"])
def test_attachments_of_results_need_content(version: str) -> None:
    validate(changed(version, "attachments.0.content", ...))  # of a run: public_url alone, or neither, is good
    with pytest.raises(Bug, match="content"):
        validate(changed(version, "test_results.0.attachments.0.content", ...))


@pytest.mark.parametrize("key", sorted(TESTDEF))
def test_testdef_metadata_needs_all_eight_as_strings(key: str) -> None:
    for value in (..., None, 1):
        with pytest.raises(Bug):
            validate(changed("1.6", f"testdef_metadata.{key}", value))


def test_a_uuid_is_used_once() -> None:
    found = document("1.5")
    found["test_runs"].append({**found["test_runs"][0], "analyzer_assigned_uuid": UUID.upper()})
    with pytest.raises(Bug, match="used twice"):
        validate(found)


@pytest.mark.parametrize("name", ["1.5", "Dashboard Bundle Format 1.8", "Dashboard Bundle Format 9", None, 1.5, ["x"]])
def test_unknown_formats_are_refused(name: object) -> None:
    for found in ({"format": name}, {}, [], None, "text"):
        with pytest.raises(ConfigurationError, match=r"my\.json is no valid dashboard bundle: its format"):
            validate(found, source="my.json")


def test_the_message_names_the_place() -> None:
    with pytest.raises(
        ConfigurationError, match=r"my\.json is no valid .*: test_runs\[0\]\.test_results\[0\]\.duration"
    ):
        validate(changed("1.5", "test_results.0.duration", "soon"), source="my.json")
