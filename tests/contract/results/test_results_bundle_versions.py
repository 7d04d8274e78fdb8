"""Bundles of every version: our schema beside the original validator, and what upgrading and merging keep."""

from __future__ import annotations

import base64
import copy
import json
from decimal import Decimal
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from json_schema_validator.errors import ValidationError
from json_schema_validator.schema import Schema
from json_schema_validator.validator import Validator
from support.bundles import documents
from support.dashboard_schema import FORMATS, dialect
from support.soak import SOAK

from pytest_lava.errors import ConfigurationError
from pytest_lava.results.bundle.encoding import dump_bundle
from pytest_lava.results.bundle.reading import read_bundle
from pytest_lava.results.bundle.schema import KNOWN_VERSIONS, validate, version_of
from pytest_lava.results.bundle.upgrade import merge, upgrade

Document = dict[str, Any]
EXAMPLES = 300 if SOAK else 30
PAIRS = list(combinations_with_replacement(KNOWN_VERSIONS, 2))


def original(document: Document) -> None:
    """The original validator's word; it knows no later version than the importer. Raises ``ValidationError``."""
    version = version_of(document)
    if version in FORMATS:
        Validator.validate(Schema(dialect(version)), json.loads(json.dumps(document), parse_float=Decimal))


@pytest.mark.parametrize("version", KNOWN_VERSIONS)
def test_a_newer_version_is_valid_and_says_the_same(version: str) -> None:
    @settings(max_examples=EXAMPLES, deadline=None)
    @given(documents(version), st.sampled_from([new for old, new in PAIRS if old == version]))
    def check(document: Document, newer: str) -> None:
        validate(document, source="it")
        original(document)
        before = copy.deepcopy(document)
        found = upgrade(document, newer)
        assert document == before
        assert version_of(found) == newer
        validate(found, source="it")
        original(found)
        assert said(found) == said(document)
        assert upgrade(found, newer) == found

    check()


def said(document: Document) -> list[Document]:
    """All that the runs say, in the words of 1.7; written here once more."""
    runs = copy.deepcopy(document.get("test_runs", []))
    for run in runs:
        hardware, software = run.pop("hw_context", None), run.pop("sw_context", None)
        run.update({} if hardware is None else {"hardware_context": hardware})
        run.update({} if software is None else {"software_context": software})
        image = run.get("software_context", {}).pop("sw_image", None)
        if image is not None:
            run["software_context"]["image"] = {"name": image["desc"]}
        if isinstance(run.get("attachments"), dict):
            run["attachments"] = [
                {
                    "pathname": name,
                    "mime_type": "text/plain",
                    "content": base64.b64encode("".join(lines).encode()).decode(),
                }
                for name, lines in sorted(run["attachments"].items())
            ]
    return list(runs)


@pytest.mark.parametrize("version, older", [(new, old) for old, new in PAIRS if old != new], ids=lambda value: value)
def test_no_version_becomes_an_older_one(version: str, older: str) -> None:
    with pytest.raises(ConfigurationError, match=f"of version {version} cannot become one of {older}"):
        upgrade({"format": f"Dashboard Bundle Format {version}"}, older)


def _all(version: str) -> Document:
    """A document with one run, one result."""
    run = {
        "analyzer_assigned_uuid": "1ab86b36-c23d-11df-a81b-002163936223", "test_id": "t", "time_check_performed": False,
        "analyzer_assigned_date": "2010-12-31T23:59:59Z", "test_results": [{"result": "pass", "test_case_id": "a"}],
    }  # fmt: skip
    return {"format": f"Dashboard Bundle Format {version}", "test_runs": [run]}


#: where something is put into the only run, and the versions that take it there
PLACES: list[tuple[dict[str, Any], str, str]] = [
    ({"hw_context": {"devices": []}}, "1.0", "1.0"),
    ({"sw_context": {"sw_image": {"desc": "d"}}}, "1.0", "1.0"),
    ({"hardware_context": {"devices": []}}, "1.0.1", "1.7"),
    ({"software_context": {"sw_image": {"desc": "d"}}}, "1.0.1", "1.0.1"),
    ({"software_context": {"image": {"name": "n"}}}, "1.1", "1.7"),
    ({"attachments": {"a.txt": ["line\n"]}}, "1.0", "1.0.1"),
    ({"attachments": [{"pathname": "a", "mime_type": "b", "content": ""}]}, "1.1", "1.7"),
    ({"attachments": [{"pathname": "a", "mime_type": "b"}]}, "1.2", "1.7"),
    ({"attachments": [{"pathname": "a", "mime_type": "b", "public_url": "c"}]}, "1.2", "1.7"),
    ({"tags": ["a"]}, "1.3", "1.7"),
    ({"test_duration": "0d 0s 0us"}, "1.4", "1.7"),
    ({"test_results": [{"result": "pass", "attachments": []}]}, "1.5", "1.7"),
]


@pytest.mark.parametrize("version", KNOWN_VERSIONS)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: str(place[0])[:60])
def test_each_version_takes_what_it_knows(place: tuple[dict[str, Any], str, str], version: str) -> None:
    more, since, until = place
    document = _all(version)
    document["test_runs"][0] |= more
    if since <= version <= until:
        validate(document, source="it")
        original(document)
        return
    with pytest.raises(ConfigurationError):
        validate(document, source="it")
    if version in FORMATS:
        with pytest.raises(ValidationError):
            original(document)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.sampled_from(KNOWN_VERSIONS).flatmap(documents), min_size=1, max_size=4))
def test_a_merged_bundle_has_each_run_once(found: list[Document]) -> None:
    merged = merge([(str(number), document) for number, document in enumerate(found)])
    assert version_of(merged) == max((version_of(document) for document in found), key=KNOWN_VERSIONS.index)
    validate(merged, source="it")
    wanted = {run["analyzer_assigned_uuid"]: run for document in found for run in said(document)}
    assert {run["analyzer_assigned_uuid"]: run for run in said(merged)} == wanted
    assert merge([("a", merged), ("b", merged)]) == {"test_runs": [], **merged}


def test_two_runs_that_differ_are_not_one() -> None:
    other = _all("1.5")
    other["test_runs"][0]["test_results"] = []
    with pytest.raises(ConfigurationError, match=r"one\.json and two\.json both have a test run 1ab8.*differ"):
        merge([("one.json", _all("1.3")), ("two.json", other)])


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.sampled_from(KNOWN_VERSIONS).flatmap(documents))
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, document: Document) -> None:
    path: Path = tmp_path_factory.getbasetemp() / "again.json"
    path.write_text(dump_bundle(document), encoding="ascii")
    assert read_bundle(path, exact=True) == document
