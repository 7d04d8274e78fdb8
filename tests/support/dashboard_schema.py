"""The bundle formats as a dashboard's importer reads them, written a second time, for the original validator.

From the field tables of the format, in the old dialect of JSON Schema (a property is required unless ``optional``)
that json-schema-validator reads; it knows nothing of ours in ``results/bundle/schema.py``, so that each checks the
other. Only 1.0 to 1.5: lava-dashboard 0.29 imports no later one.
"""

from __future__ import annotations

from typing import Any

__all__ = ["FORMATS", "NAME", "dialect"]

FORMATS = ("1.0", "1.0.1", "1.1", "1.2", "1.3", "1.4", "1.5")
NAME = "Dashboard Bundle Format "

Old = dict[str, Any]
_TEXT: Old = {"type": "string"}
_DATE: Old = {"type": "string", "format": "date-time"}


def dialect(version: str) -> Old:
    """The schema of one version."""
    return _closed(format={"type": "string", "enum": [NAME + version]}, test_runs=_maybe(_list(_run(version))))


def _run(version: str) -> Old:
    hardware = _closed(devices=_list(_device()))
    fields = {
        "analyzer_assigned_uuid": _TEXT,
        "analyzer_assigned_date": _DATE,
        "time_check_performed": {"type": "boolean"},
        "test_id": _TEXT,
        "test_results": _list(_result(version)),
        "attributes": _maybe(_dict(_TEXT)),
        "attachments": _maybe(_dict(_list(_TEXT)) if version < "1.1" else _list(_attachment(version))),
        "hw_context" if version == "1.0" else "hardware_context": _maybe(hardware),
        "sw_context" if version == "1.0" else "software_context": _maybe(_software(version)),
    }
    if version >= "1.3":
        fields["tags"] = _maybe(_list(_TEXT))
    if version >= "1.4":
        fields["test_duration"] = _maybe(_TEXT)
    return _closed(**fields)


def _result(version: str) -> Old:
    fields = {
        "result": {"type": "string", "enum": ["pass", "fail", "skip", "unknown"]},
        "test_case_id": _maybe(_TEXT),
        "message": _maybe(_TEXT),
        "measurement": {**_maybe({"type": "number"}), "requires": "test_case_id"},
        "units": {**_maybe(_TEXT), "requires": "measurement"},
        "timestamp": _maybe(_DATE),
        "duration": _maybe(_TEXT),
        "log_filename": _maybe(_TEXT),
        "log_lineno": {**_maybe({"type": "integer"}), "requires": "log_filename"},
        "attributes": _maybe(_dict(_TEXT)),
    }
    if version >= "1.5":
        fields["attachments"] = _maybe(_list(_attachment(version)))
    return _closed(**fields)


def _attachment(version: str) -> Old:
    fields = {"pathname": _TEXT, "mime_type": _TEXT, "content": _TEXT if version < "1.2" else _maybe(_TEXT)}
    if version >= "1.2":
        fields["public_url"] = _maybe(_TEXT)
    return _closed(**fields)


def _device() -> Old:
    values = _maybe(_dict({"type": ["number", "string"]}))
    return _closed(device_type=_TEXT, description=_TEXT, attributes=values)


def _software(version: str) -> Old:
    packages = _maybe(_list(_closed(name=_TEXT, version=_TEXT)))
    if version < "1.1":
        return _closed(sw_image=_maybe(_closed(desc=_TEXT)), packages=packages)
    systems = ["bzr", "git"] if version < "1.2" else ["bzr", "git", "svn"]
    source = _closed(
        project_name=_TEXT,
        branch_vcs={"type": "string", "enum": systems},
        branch_url=_TEXT,
        branch_revision={"type": ["string", "integer"]},
        commit_timestamp=_maybe(_DATE),
    )
    return _closed(image=_maybe(_closed(name=_TEXT)), packages=packages, sources=_maybe(_list(source)))


def _closed(**fields: Old) -> Old:
    return {"type": "object", "properties": fields, "additionalProperties": False}


def _dict(values: Old) -> Old:
    return {"type": "object", "additionalProperties": values}


def _list(items: Old) -> Old:
    return {"type": "array", "items": items}


def _maybe(field: Old) -> Old:
    return {**field, "optional": True}
