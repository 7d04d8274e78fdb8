"""Node ids of cases on the command line: what pytest gets in their place, and which cases that means."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_lava.errors import ConfigurationError
from pytest_lava.plugin.collecting.named_cases import take_cases

FILES = {"a.yaml": ["smoke"], "job.yaml": ["one", "two"]}


def items_of(file: str) -> tuple[Path, list[str], bool] | None:
    if file.startswith("bad"):
        raise ConfigurationError(f"{file}:1: it is bad")
    return (Path(file), FILES[file], file == "job.yaml") if file in FILES else None


@pytest.mark.parametrize(
    "given, arguments, cases",
    [
        (["a.yaml"], ["a.yaml"], []),
        (["a.yaml::smoke"], ["a.yaml::smoke"], []),
        (["a.yaml::smoke[panda]"], ["a.yaml::smoke[panda]"], []),
        (["a.yaml::case"], ["a.yaml"], ["case"]),
        (["a.yaml::set::case"], ["a.yaml"], ["set::case"]),
        (["a.yaml::x", "a.yaml::y"], ["a.yaml"], ["x", "y"]),
        (["a.yaml::case[panda]"], ["a.yaml::smoke[panda]"], ["case"]),
        (["a.yaml::case[other]"], ["a.yaml"], ["case[other]"]),
        (["a.yaml::case[0][panda]"], ["a.yaml::smoke[panda]"], ["case[0]"]),
        (["job.yaml::two::case[panda]"], ["job.yaml::two[panda]"], ["two::case"]),
        (["job.yaml::one::a", "job.yaml::one::b"], ["job.yaml::one"], ["one::a", "one::b"]),
        (["test_x.py::test_x[panda]", "dir"], ["test_x.py::test_x[panda]", "dir"], []),
    ],
)
def test_what_is_run_for_it(given: list[str], arguments: list[str], cases: list[str]) -> None:
    found, chosen = take_cases(given, items_of, ["panda", "qemu-arm64"])
    assert found == arguments
    assert sorted(case for of_file in chosen.values() for case in of_file) == cases


def test_all_that_is_wrong_is_told_once() -> None:
    with pytest.raises(ConfigurationError) as error:
        take_cases(["bad.yaml::x", "bad.yaml::y", "bad2.yaml"], items_of, [])
    assert str(error.value).splitlines() == ["bad.yaml:1: it is bad", "bad2.yaml:1: it is bad"]


@pytest.mark.parametrize("name", ["case", "tow", "tow::case", "one[other]"])
def test_an_item_that_a_job_does_not_have(name: str) -> None:
    """The whole job would run for a mistyped name."""
    with pytest.raises(ConfigurationError) as raised:
        take_cases([f"job.yaml::{name}"], items_of, ["panda"])
    item = name.partition("::")[0]
    assert str(raised.value).startswith(f"job.yaml has no item {item!r}: there are one, two")
    assert str(raised.value).endswith("did you mean 'two'?") == (item == "tow")
