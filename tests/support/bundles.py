"""Valid bundles of any version, for hypothesis: every optional part is there or not, texts are whatever may be."""

from __future__ import annotations

import base64
from typing import Any

from hypothesis import strategies as st

__all__ = ["documents"]

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_SOME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
_ASCII = st.text(st.characters(max_codepoint=126), max_size=8)
_DATE = st.datetimes().map(lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20))
_DURATION = st.tuples(*[st.integers(0, 99)] * 3).map(lambda parts: "{}d {}s {}us".format(*parts))
_CONTENT = st.binary(max_size=9).map(lambda data: base64.b64encode(data).decode())
_NUMBER = st.one_of(st.integers(-(10**9), 10**9), st.floats(-1e9, 1e9))
_LINE = st.integers(1, 10**6)
_TESTDEF = ("description", "version", "format", "location", "url", "environment", "os", "devices")


def documents(version: str) -> st.SearchStrategy[dict[str, Any]]:
    """Bundles of one version."""
    runs = st.lists(_run(version), max_size=3, unique_by=lambda run: run["analyzer_assigned_uuid"].lower())
    head = {"format": st.just(f"Dashboard Bundle Format {version}")}
    return st.fixed_dictionaries(head, optional={"test_runs": runs})


def _run(version: str) -> st.SearchStrategy[dict[str, Any]]:
    needed = {
        "analyzer_assigned_uuid": st.uuids().map(str),
        "analyzer_assigned_date": _DATE,
        "time_check_performed": st.booleans(),
        "test_id": _SOME,
        "test_results": st.lists(_result(version), max_size=3),
    }
    optional: dict[str, st.SearchStrategy[Any]] = {
        "attributes": st.dictionaries(_ASCII, _ASCII, max_size=2),
        "hw_context" if version == "1.0" else "hardware_context": _hardware(),
        "sw_context" if version == "1.0" else "software_context": _software(version),
        "attachments": st.lists(_attachment(version), max_size=2)
        if version >= "1.1"
        else st.dictionaries(_TEXT, st.lists(_TEXT, max_size=3), max_size=2),
    }
    if version >= "1.3":
        optional["tags"] = st.lists(st.from_regex(r"[a-z0-9-]{1,9}", fullmatch=True), max_size=2, unique=True)
    if version >= "1.4":
        optional["test_duration"] = _DURATION
    if version >= "1.6":
        extra = {"more": st.integers()} if version >= "1.7" else {}
        optional["testdef_metadata"] = st.fixed_dictionaries(dict.fromkeys(_TESTDEF, _TEXT), optional=extra)
    return st.fixed_dictionaries(needed, optional=optional)


def _result(version: str) -> st.SearchStrategy[dict[str, Any]]:
    needed = {"result": st.sampled_from(["pass", "fail", "skip", "unknown"])}
    optional: dict[str, st.SearchStrategy[Any]] = {
        "message": _TEXT,
        "timestamp": _DATE,
        "duration": _DURATION,
        "log_filename": _TEXT,
        "attributes": st.dictionaries(_ASCII, _ASCII, max_size=2),
    }
    if version >= "1.5":
        optional["attachments"] = st.lists(_attachment(version, of_result=True), max_size=2)
    named = {**needed, "test_case_id": _SOME}
    measured = {**named, "measurement": _NUMBER, "log_filename": optional["log_filename"], "log_lineno": _LINE}
    rest = {key: value for key, value in optional.items() if key not in measured}
    return st.one_of(
        st.fixed_dictionaries(needed, optional=optional),
        st.fixed_dictionaries(named, optional=optional),
        st.fixed_dictionaries(measured, optional={**rest, "units": _TEXT}),
    )


def _attachment(version: str, *, of_result: bool = False) -> st.SearchStrategy[dict[str, Any]]:
    names = {"pathname": _TEXT, "mime_type": _TEXT}
    if version < "1.2":
        return st.fixed_dictionaries({**names, "content": _CONTENT})
    if of_result:
        return st.fixed_dictionaries({**names, "content": _CONTENT}, optional={"public_url": _TEXT})
    return st.fixed_dictionaries(names, optional={"content": _CONTENT, "public_url": _TEXT})


def _hardware() -> st.SearchStrategy[dict[str, Any]]:
    device = {"device_type": _TEXT, "description": _TEXT}
    values = st.dictionaries(_TEXT, st.one_of(_TEXT, _NUMBER), max_size=2)
    one = st.fixed_dictionaries(device, optional={"attributes": values})
    return st.fixed_dictionaries({"devices": st.lists(one, max_size=2)})


def _software(version: str) -> st.SearchStrategy[dict[str, Any]]:
    packages = st.lists(st.fixed_dictionaries({"name": _TEXT, "version": _TEXT}), max_size=2)
    if version < "1.1":
        image = st.fixed_dictionaries({"desc": _TEXT})
        return st.fixed_dictionaries({}, optional={"sw_image": image, "packages": packages})
    systems = ["bzr", "git"] + (["svn"] if version >= "1.2" else []) + (["tar", "url"] if version >= "1.6" else [])
    source = {
        "project_name": _TEXT,
        "branch_vcs": st.sampled_from(systems),
        "branch_url": _TEXT,
        "branch_revision": st.one_of(_TEXT, st.integers()),
    }
    more: dict[str, st.SearchStrategy[Any]] = {"commit_timestamp": _DATE}
    if version >= "1.7":
        more |= {"default_params": _TEXT, "test_params": _TEXT}
    sources = st.lists(st.fixed_dictionaries(source, optional=more), max_size=2)
    named = st.fixed_dictionaries({"name": _TEXT})
    return st.fixed_dictionaries({}, optional={"image": named, "packages": packages, "sources": sources})
