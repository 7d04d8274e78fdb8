"""The bundle: pure, valid in every format, and honest about whose fault a failure is."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_lava.errors import ConfigurationError, InfrastructureError
from pytest_lava.results.bundle.building import build_bundle
from pytest_lava.results.bundle.encoding import dump_bundle, write_bundle
from pytest_lava.results.bundle.files import DEFAULT_LIMIT as LOG_LIMIT
from pytest_lava.results.bundle.parts import date, duration, exact_measurement, measurement
from pytest_lava.results.bundle.schema import VERSIONS, validate
from pytest_lava.results.journal import read

Bundle = dict[str, Any]


def runs(lines: list[Any], folder: Path, version: str = "1.5") -> dict[str, Bundle]:
    bundle = build_bundle(lines, version=version, folder=folder)
    validate(bundle)
    found = {run["test_id"]: run for run in bundle["test_runs"]}
    assert len(found) == len(bundle["test_runs"])
    return found


def results(run: Bundle) -> dict[str, Bundle]:
    found = {result["test_case_id"]: result for result in run["test_results"]}
    assert len(found) == len(run["test_results"])
    return found


def content(owner: Bundle) -> dict[str, bytes]:
    return {one["pathname"]: base64.b64decode(one["content"]) for one in owner.get("attachments", [])}


@pytest.mark.parametrize("version", VERSIONS)
def test_built_twice_is_the_same_and_valid(folder: Path, version: str) -> None:
    first, second = (dump_bundle(build_bundle(read(folder), version=version, folder=folder)) for _ in range(2))
    assert first == second
    assert first.isascii()
    assert first.endswith("}\n")
    validate(json.loads(first))
    assert json.loads(first)["format"] == f"Dashboard Bundle Format {version}"


def test_one_run_for_each_suite_and_command_and_lava_last(folder: Path) -> None:
    found = runs(read(folder), folder)
    assert list(found) == ["tests-test-mm.py", "tests-test-lab.py", "free-m", "lava"]
    run = found["tests-test-mm.py"]
    assert run["attributes"].items() >= {
        "suite": "tests/test_mm.py", "target": "q1-k1", "target.hostname": "q1", "target.device_type": "qemu-arm64",
        "kernel.release": "6.1.0", "kernel.sha256": "ab" * 32, "target.emulated": "true", "version.pytest": "9",
    }.items()  # fmt: skip
    assert run["software_context"]["packages"] == [{"name": "linux", "version": "6.1.0"}]
    assert run["hardware_context"]["devices"][0]["description"] == "q1"
    assert run["test_duration"] == "0d 1s 0us"
    assert run["time_check_performed"] is False


def test_what_was_put_into_the_image(tmp_path: Path, told: Any, make: Any) -> None:
    added = [
        {
            "kind": "deb",
            "name": "hello",
            "option": "--deb h.deb",
            "target": "/",
            "sha256": "ef" * 32,
            "version": "1:2-3",
        },
        {"kind": "file", "name": "conf", "option": "--file conf:/etc/c", "target": "/etc/c", "sha256": "01" * 32},
        {"kind": "tree", "name": "data", "option": "--file data:/opt", "target": "/opt", "sha256": "", "version": ""},
    ]
    line = {**make.target(), "board": "q1", "added": added}
    lines = told(("run", {}), ("target", line), ("outcome", make.outcome("test_a.py::test_a")))
    run = runs(lines, tmp_path)["test-a.py"]
    assert run["software_context"]["packages"] == [
        {"name": "linux", "version": "ab" * 6},
        {"name": "hello", "version": "1:2-3"},
        {"name": "conf", "version": f"sha256:{'01' * 32}"},
        {"name": "data", "version": "unknown"},
    ]
    assert {name: value for name, value in run["attributes"].items() if name.startswith("added.")} == {
        "added.1": "--deb h.deb", "added.1.name": "hello", "added.1.version": "1:2-3", "added.1.sha256": "ef" * 32,
        "added.2": "--file conf:/etc/c", "added.2.name": "conf", "added.2.sha256": "01" * 32,
        "added.3": "--file data:/opt", "added.3.name": "data",
    }  # fmt: skip


def test_each_outcome_has_its_result(folder: Path) -> None:
    found = runs(read(folder), folder)
    cases = results(found["tests-test-mm.py"])
    short = {name: (case["result"], case["attributes"]["outcome"]) for name, case in cases.items()}
    assert short == {
        "test_good": ("pass", "passed"),
        "test_bad[2_MB]": ("fail", "failed"),
        "test_off": ("skip", "skipped"),
        "TestA::test_x": ("skip", "xfail"),
    }
    assert cases["test_good"]["measurement"] == 12.5
    assert cases["test_good"]["duration"] == "0d 0s 250000us"
    assert cases["test_bad[2_MB]"]["message"] == "assert 1 == 2"
    assert content(cases["test_good"]) == {"output.txt": "---- Captured stdout call ----\nhällo\n".encode()}
    assert content(cases["test_bad[2_MB]"]) == {
        "failure.txt": b"E  assert 1 == 2",
        "console.txt": b"Linux version 6.1\nok\nlogin:\nOops: bad\n",
    }
    lab = results(found["tests-test-lab.py"])["test_power"]
    assert (lab["result"], lab["message"]) == ("unknown", "setup: no power")
    assert lab["attributes"].items() >= {"error_type": "Infrastructure", "error.class": "PowerError"}.items()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_command_has_status_and_both_streams(folder: Path, version: str) -> None:
    run = runs(read(folder), folder, version)["free-m"]
    assert run["attributes"]["command"] == "free -m"
    [result] = run["test_results"]
    assert (result["test_case_id"], result["result"], result["attributes"]["returncode"]) == ("free-m", "pass", "0")
    owner, other = (run, result) if version == "1.3" else (result, run)
    assert content(owner) == {"stdout.txt": b"Mem:\0\xff\n", "stderr.txt": b""}
    assert "attachments" not in other
    assert ("test_duration" in run) is (version != "1.3")


def test_the_lava_run_has_phases_job_and_console(folder: Path) -> None:
    run = runs(read(folder), folder)["lava"]
    found = results(run)
    assert list(found) == ["deploy", "deploy-2", "boot", "job"]
    assert (found["deploy"]["result"], found["deploy-2"]["result"]) == ("unknown", "pass")
    assert found["deploy-2"].items() >= {"measurement": 1.0, "units": "seconds", "duration": "0d 1s 0us"}.items()
    assert found["job"]["result"] == "unknown"  # the lab broke during test_power
    assert found["job"]["attributes"].items() >= {"error_type": "Infrastructure", "status": "1"}.items()
    files = content(run)
    assert files["console-q1.log"] == (folder / "console.log").read_bytes()
    assert b"quiet" in files["notes.txt"]


def test_a_boot_failure_is_one_failed_result_with_its_place_in_the_log(tmp_path: Path, told: Any, make: Any) -> None:
    (tmp_path / "console.log").write_bytes(b"a\nb\nc\npanic\n")
    error = make.error("job", type="BootFailed", message="no prompt")
    boot = make.outcome(
        "boot::q1", suite="lava", case="boot.kernel", outcome="failed", message="no prompt", error=error
    )
    boot |= {"console": [6, 12], "console_log": "console.log", "board": "q1"}
    phase = {"board": "q1", "target": "q1-k1", "name": "boot.kernel", "start": "", "seconds": 7.0, "error": error}
    skip = make.outcome("t.py::test_a", when="setup", outcome="skipped", message="boot failed", error=error)
    lines = told(("run", {}), ("phase", phase), ("outcome", boot), ("outcome", skip), ("end", {"status": 1}))
    found = runs(lines, tmp_path)
    lava = results(found["lava"])
    assert list(lava) == ["boot.kernel", "job"]
    assert lava["boot.kernel"].items() >= {
        "result": "fail", "measurement": 7.0, "log_filename": "console-q1.log", "log_lineno": 4,
    }.items()  # fmt: skip
    assert lava["job"]["result"] == "fail"
    assert lava["job"]["attributes"]["error_type"] == "Job"
    assert results(found["t.py"])["test_a"]["result"] == "skip"


def test_a_killed_run_names_the_test_that_was_running(tmp_path: Path, told: Any, make: Any) -> None:
    lines = told(
        ("run", {}),
        ("start", {"nodeid": "t.py::test_a", "target": "q1-k1"}),
        ("outcome", make.outcome("t.py::test_a")),
        ("start", {"nodeid": "t.py::test_b", "target": "q1-k1"}),
        ("outcome", make.outcome("t.py::test_b", when="setup")),
    )
    found = runs(lines, tmp_path)
    cases = results(found["t.py"])
    assert cases["test_a"]["result"] == "pass"
    assert (cases["test_b"]["result"], cases["test_b"]["message"]) == (
        "unknown", "the run ended while this test was running",
    )  # fmt: skip
    assert results(found["lava"])["job"]["message"] == "the run was killed before its end"


def test_a_crashed_worker_is_one_case(tmp_path: Path, told: Any, make: Any) -> None:
    told(("start", {"nodeid": "t.py::test_a", "target": "q1-k1"}), worker="gw0")
    crash = make.outcome("t.py::test_a", when="???", outcome="failed", message="worker gw0 crashed", target="")
    cases = results(runs(told(("run", {}), ("outcome", crash)), tmp_path)["t.py"])
    assert [(case["result"], case["message"]) for case in cases.values()] == [("unknown", "worker gw0 crashed")]


@pytest.mark.parametrize(
    "error, verdict",
    [(None, ("unknown", "error")), ("job", ("fail", "failed")), ("infrastructure", ("unknown", "error"))],
)
def test_a_failing_teardown_decides_over_a_passed_call(
    tmp_path: Path, told: Any, make: Any, error: str | None, verdict: tuple[str, str]
) -> None:
    late = make.outcome("t.py::a", when="teardown", outcome="failed", message="oops", error=error and make.error(error))
    [case] = runs(told(("outcome", make.outcome("t.py::a")), ("outcome", late)), tmp_path)["t.py"]["test_results"]
    assert (case["result"], case["attributes"]["outcome"]) == verdict
    assert (case["message"], case["attributes"]["phase"]) == ("teardown: oops", "teardown")


def test_the_last_attempt_counts(tmp_path: Path, told: Any, make: Any) -> None:
    told(("outcome", make.outcome("t.py::a", when="setup", outcome="failed", error=make.error())), attempt=1)
    [case] = runs(told(("outcome", make.outcome("t.py::a")), attempt=2), tmp_path)["t.py"]["test_results"]
    assert (case["result"], case["attributes"]["attempt"]) == ("pass", "2")


def test_several_targets_have_runs_of_their_own(tmp_path: Path, told: Any, make: Any) -> None:
    lines = told(
        ("target", make.target("q1-k1")),
        ("target", make.target("q1-k2")),
        *(("phase", {"target": name, "name": "deploy", "seconds": 1}) for name in ("q1-k1", "q1-k2")),
        *(("outcome", make.outcome(f"t.py::a[{name}]", target=name)) for name in ("q1-k1", "q1-k2")),
    )
    found = runs(lines, tmp_path)
    assert list(found) == ["t.py", "t.py-q1-k2", "lava"]
    assert list(results(found["lava"])) == ["deploy/q1-k1", "deploy/q1-k2", "job"]
    assert found["t.py-q1-k2"]["attributes"]["target"] == "q1-k2"


def test_long_console_logs_are_cut_and_say_so(tmp_path: Path, told: Any, make: Any) -> None:
    (tmp_path / "console.log").write_bytes(b"early" + b"x" * (LOG_LIMIT - 3) + b"end")
    run = runs(told(("target", {**make.target(), "board": "q1"})), tmp_path)["lava"]
    data = content(run)["console-q1.log"]
    assert (len(data), data[-3:]) == (LOG_LIMIT, b"end")
    assert run["attributes"]["console-q1.log.truncated"] == f"only the last {LOG_LIMIT} of {LOG_LIMIT + 5} bytes"


def test_files_outside_the_run_folder_are_never_attached(tmp_path: Path, told: Any, make: Any) -> None:
    files = [{"path": "/etc/hostname"}, {"path": "../x"}, {"path": "a\0b"}, {"path": "ok.bin", "mime": "image/png"}]
    (tmp_path / "ok.bin").write_bytes(b"\x89PNG")
    line = make.outcome("t.py::a", attachments=files, console=[0, 5], console_log="/etc/hostname", outcome="failed")
    found = runs(told(("outcome", line)), tmp_path)
    assert content(results(found["t.py"])["a"]) == {"ok.bin": b"\x89PNG"}
    assert "attachments" not in found["lava"]


def test_names_stay_unique_at_64_characters(tmp_path: Path, told: Any, make: Any) -> None:
    long = "tests/" + "very_long_name_" * 10
    suites = [f"{long}{n}.py" for n in range(5)] + ["a b", "a_b", "a-b", "日本", "中国", "lava.", "/", ""]
    lines = told(*(("outcome", make.outcome(f"x::{n}", suite=suite)) for n, suite in enumerate(suites)))
    found = runs(lines, tmp_path)
    assert len(found) == len(suites) + 1
    assert all(0 < len(name) <= 64 for name in found)


def test_same_case_names_stay_unique(tmp_path: Path, told: Any, make: Any) -> None:
    lines = told(*(("outcome", make.outcome(f"t.py::{n}", case="x y" * 60)) for n in range(12)))
    assert all(len(name) <= 100 for name in results(runs(lines, tmp_path)["t.py"]))


def test_testdef_metadata_is_written_where_it_exists(tmp_path: Path, told: Any, make: Any) -> None:
    lines = told(("outcome", make.outcome("smoke.yaml::a", testdef={"version": "1.0", "description": "d"})))
    assert "testdef_metadata" not in runs(lines, tmp_path, "1.5")["smoke.yaml"]
    assert runs(lines, tmp_path, "1.6")["smoke.yaml"]["testdef_metadata"]["version"] == "1.0"


anything = st.text(st.characters(exclude_categories=()) | st.sampled_from("\0\x1b\r\n\ud800é日😀"), max_size=80)
scalars = anything | st.floats() | st.integers() | st.booleans() | st.none()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "nodeid": anything,
                "when": st.sampled_from(["setup", "call", "teardown", "???", "x"]),
                "outcome": st.sampled_from(["passed", "failed", "skipped", "rerun"]),
                "seconds": st.floats() | st.none(),
                "message": anything,
                "longrepr": anything,
                "sections": st.lists(st.tuples(anything, anything), max_size=2),
                "suite": anything | st.just("lava"),
                "case": anything,
                "target": anything,
                "command": anything | st.none(),
                "status": st.integers() | st.none(),
                "stdout_b64": anything | st.none(),
                "start": anything,
                "properties": st.lists(
                    st.tuples(anything | st.sampled_from(["measurement", "units"]), scalars), max_size=3
                ),
                "error": st.none()
                | st.fixed_dictionaries({"message": anything, "type": anything, "evidence": anything}),
            }
        ),
        max_size=4,
    ),
    st.sampled_from(VERSIONS),
)
def test_no_text_makes_an_invalid_bundle(
    tmp_path_factory: pytest.TempPathFactory, items: list[Any], version: str
) -> None:
    head = {"v": 1, "run": "\ud800 no uuid", "time": "2026-01-01T00:00:00+00:00", "worker": "main", "attempt": 1}
    lines = [{**head, "kind": "outcome", **item} for item in items]
    bundle = build_bundle(lines, version=version, folder=tmp_path_factory.getbasetemp())
    text = dump_bundle(bundle)
    validate(json.loads(text))
    assert "\\u0000" not in text
    json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8")  # no lone surrogates


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0, "0d 0s 0us"),
        (1.000134, "0d 1s 134us"),
        (90061.5, "1d 3661s 500000us"),
        (-1, "0d 0s 0us"),
        (math.nan, "0d 0s 0us"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    "moment, text",
    [
        ("2026-11-24T01:52:38.999999+00:00", "2026-11-24T01:52:38Z"),
        ("2026-11-24T01:52:38+02:00", "2026-11-23T23:52:38Z"),
        ("2026-11-24T01:52:38", "2026-11-24T01:52:38Z"),
        ("soon", "1970-01-01T00:00:00Z"),
        (None, "1970-01-01T00:00:00Z"),
    ],
)
def test_dates(moment: object, text: str) -> None:
    assert date(moment) == text


@pytest.mark.parametrize(
    "value, found",
    [
        (1, 1),
        ("2.5", 2.5),
        (True, None),
        ("fast", None),
        (math.inf, None),
        (1e10, 1e10),
        (1e-11, 0.0),
        (10**30, 1e30),
        (10**400, None),
        ("12345678901.5", 12345678901.5),
        (2**53 + 1, float(2**53)),
    ],
)
def test_measurements(value: object, found: float | None) -> None:
    assert measurement(value) == found


@pytest.mark.parametrize(
    "value, exact",
    [
        (1, None),
        (0.1, None),
        ("2.50", None),
        (" 3 ", None),
        (2**53 + 1, "9007199254740993"),
        (math.nan, "nan"),
        ("0.12345678901234567890", "0.12345678901234567890"),
        (None, None),
        ("fast", "fast"),
        (1 / 3, repr(1 / 3)),
    ],
)
def test_digits_that_no_number_of_json_has_are_kept(value: object, exact: str | None) -> None:
    assert exact_measurement(value, measurement(value)) == exact


def test_written_whole_or_not_at_all(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "bundle.json"
    bundle = build_bundle(read(folder), folder=folder)
    write_bundle(path, bundle)
    assert path.read_text() == dump_bundle(bundle)
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(InfrastructureError, match="cannot be written"):
        write_bundle(tmp_path / "missing" / "bundle.json", bundle)
    with pytest.raises(InfrastructureError, match="cannot be written"):
        write_bundle(path / "bundle.json", bundle)


def test_wrong_questions_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"choose one of 1\.3, 1\.5, 1\.6, 1\.7"):
        build_bundle(read(folder), version="2.0", folder=folder)
    other = [{**line, "run": "other"} for line in read(folder)[:1]]
    with pytest.raises(ConfigurationError, match="2 different runs"):
        build_bundle(read(folder) + other, folder=folder)


def test_an_empty_journal_is_a_valid_bundle(tmp_path: Path) -> None:
    assert list(results(runs([], tmp_path)["lava"])) == ["job"]
