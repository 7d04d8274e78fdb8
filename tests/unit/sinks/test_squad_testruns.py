"""What SQUAD is told of a run: whose results go where, under which job, and whatever is in them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from support.torture import count, seed
from support.widerun import wide_run, write_case, write_head, write_target

from pytest_lava.results.journal import Journal, read
from pytest_lava.results.record import collect
from pytest_lava.sinks.squad import SquadSink
from pytest_lava.sinks.squad_names import NAME_LIMIT, parse_name
from pytest_lava.sinks.squad_testruns import Form, TestRun, per_target

FORM = Form("{kernel}", "{device_type}")
LETTERS = 'aZ09 .:/[]-_\0\x1b\n\r\ud800ä\U0001f600"\\{}'


def told(folder: Path, **more: Any) -> list[TestRun]:
    return per_target(collect(read(folder)), more.pop("form", FORM), folder, **more)


def test_a_testrun_for_each_target(tmp_path: Path) -> None:
    wide_run(tmp_path)
    first, second = told(tmp_path)
    assert (first.build, second.build) == ("6.1.0-rc1", "6.0.7")
    assert (first.environment, second.environment) == ("qemu_arm64", "qemu_arm64")
    assert "tests/test_host.py/test_host" in first.tests  # what needs no board goes beside the first
    assert "tests/test_host.py/test_host" not in second.tests
    assert first.metrics["duration/deploy"] == {"value": [1.25], "unit": "s"}
    assert first.metrics["smoke/speed"] == {"value": -0.5, "unit": "MB per second and very much mo"}
    assert first.metadata["job_status"] == "Complete"


def test_placeholders(tmp_path: Path) -> None:
    wide_run(tmp_path, targets=["q1-next"], run="r1")
    form = Form("{commit}/{sha256}", "{board}{arch}", "https://ci/{run}", (("lab", "in {host}"), ("none", "{image}?")))
    [one] = told(tmp_path, form=form)
    assert (one.build, one.environment) == ("0123456789" * 4 + "-" + "0a" * 6, "q1arm64")
    assert (one.metadata["job_url"], one.metadata["lab"]) == ("https://ci/r1", "in desk")


def test_targets_that_differ_in_a_letter_only_have_jobs_of_their_own(tmp_path: Path) -> None:
    targets = ["q1-a b", "q1-a_b", "q1-a-b", "q1-" + "x" * 300, "q1-" + "x" * 301]
    with Journal(tmp_path / "journal.jsonl", run="r") as journal:
        write_head(journal)
        for target in targets:
            write_case(journal, target, ("a.py", "test_it"), "passed")
    jobs = [one.job_id for one in told(tmp_path)]
    assert len(set(jobs)) == len(targets)
    assert all(len(job) <= 128 and "/" not in job for job in jobs)


def test_a_large_run_is_several_testruns(tmp_path: Path) -> None:
    wide_run(tmp_path, targets=["q1-next"], tests=20)
    [whole] = told(tmp_path)
    several = told(tmp_path, form=Form("{kernel}", "{device_type}", most=9))
    assert [len(one.tests) for one in several] == [9] * (len(whole.tests) // 9) + [len(whole.tests) % 9]
    assert {name: test for one in several for name, test in one.tests.items()} == whole.tests
    assert {name: size for one in several for name, size in one.metrics.items()} == whole.metrics
    assert [bool(one.files) for one in several] == [True, *[False] * (len(several) - 1)]
    assert len({one.job_id for one in several}) == len(several)


def test_live_shows_what_has_ended_on_kernels_that_are_known(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl", run="r") as journal:
        write_head(journal)
        journal.write("target", board="b", target="unknown", device_type="x", arch="arm64", kernel=None)
        write_case(journal, "unknown", ("a.py", "test_it"), "passed")
        write_target(journal, "q1-next")
        write_case(journal, "q1-next", ("a.py", "test_ended"), "failed")
        journal.write("start", nodeid="a.py::test_goes_on", suite="a.py", case="test_goes_on", target="q1-next")
    [one] = told(tmp_path, live=True)
    assert list(one.tests) == ["lava/boot", "a.py/test_ended"]
    assert (one.metadata["lava.live"], one.metadata["job_status"], one.log, one.files) == (True, "Running", None, ())
    assert [len(found.tests) for found in told(tmp_path)] == [1, 3]


def test_whatever_is_in_it(tmp_path: Path) -> None:
    """Each result has a name of its own within the limits, and all of it is text that a database takes."""
    dice, number = random.Random(seed()), count(3000)
    with Journal(tmp_path / "journal.jsonl", run="r") as journal:
        write_head(journal)
        write_target(journal, "q1-next")
        for _ in range(number):
            suite, case, unit = ("".join(dice.choices(LETTERS, k=dice.choice([2, 9, 400]))) for _ in range(3))
            properties = [["measurement", dice.choice([1, 1e300, float("nan"), "5", None])], ["units", unit]]
            word, other = dice.choice(["passed", "failed", "skipped"]), dice.randrange(1 << 40)
            write_case(journal, "q1-next", (suite, case), word, other, properties=properties, message=unit * 99)
    [one] = told(tmp_path)
    assert len(one.tests) == number + 1
    assert all(max(map(len, parse_name(name))) <= NAME_LIMIT for name in [*one.tests, *one.metrics])
    assert all(len(size.get("unit", "")) <= 30 for size in one.metrics.values())
    json.dumps([one.metrics, one.metadata], allow_nan=False)
    for text in [*one.tests, *(test.get("log", "") for test in one.tests.values()), *one.metadata.values()]:
        assert "\0" not in str(text)
        str(text).encode()  # no lone surrogates


@pytest.mark.parametrize(
    "given, place",
    [
        ({"url": "https://h/g/p"}, ("https://h", "g", "p")),
        ({"url": "https://h:1/sub/~g/p/"}, ("https://h:1/sub", "~g", "p")),
        ({"url": "http://h/sub/", "group": "g", "project": "p"}, ("http://h/sub", "g", "p")),
    ],
)
def test_place(given: dict[str, str], place: tuple[str, str, str]) -> None:
    options = SquadSink.Options.model_validate(given)
    found = options.place
    assert (found.url, found.group, found.project) == place


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"url": "squad"}, "url has to be"),
        ({"url": "https://h/p"}, "which project"),
        ({"url": "https://h/g p/p"}, "group has to be a name"),
        ({"url": "https://h/g/p[0]"}, "project has to be a name"),
        ({"url": "https://h/g/p", "build": "{kernal}"}, "did you mean {kernel}"),
        ({"url": "https://h/g/p", "biuld": "x"}, "biuld"),
        ({"url": "https://h/g/p", "most_tests": 0}, "most_tests"),
    ],
)
def test_wrong_settings(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SquadSink.Options.model_validate(wrong)
