"""What a bundle has beside results: hardware, software, times, tags, lines of logs, and files within limits."""

from __future__ import annotations

import base64
import hashlib
import random
from pathlib import Path
from typing import Any

import pytest

from pytest_lava.results.bundle.building import build_bundle
from pytest_lava.results.bundle.console import LogPart
from pytest_lava.results.bundle.encoding import dump_bundle
from pytest_lava.results.bundle.schema import VERSIONS, validate

Bundle = dict[str, Any]
INVENTORY = {
    "model": "TI OMAP4 PandaBoard", "compatible": ["ti,omap4-panda", "ti,omap4430"], "memory": 1 << 30,
    "cores": [{"id": 0, "model": "ARM Cortex-A9", "part": "0x41:0xc09"}, {"id": 1, "model": "ARM Cortex-A9"}],
    "features": "half thumb", "usb": [{"bus": "1-1", "id": "0424:9514", "name": "", "vendor": "", "speed": "480"}],
    "cmdline": "console=ttyO2", "system": "Debian GNU/Linux 12", "packages": [["bash", "5.2"], ["zlib1g", ""]],
}  # fmt: skip


def runs(lines: list[Any], folder: Path, version: str = "1.5") -> dict[str, Bundle]:
    first, second = (build_bundle(lines, version=version, folder=folder) for _ in range(2))
    assert dump_bundle(first) == dump_bundle(second)
    validate(first)
    return {run["test_id"]: run for run in first["test_runs"]}


def content(owner: Bundle) -> dict[str, bytes]:
    found = owner.get("attachments", [])
    return {one["pathname"]: base64.b64decode(one["content"]) for one in found if "content" in one}


def boot(**fields: Any) -> tuple[str, dict[str, Any]]:
    about = {
        "target": "q1-k1",
        "board": "q1",
        "boot_id": 1,
        "seconds": 3.5,
        "uname": {"release": "6.1.0-rc1-g12ab34cd56ef"},
    }
    return "boot", {**about, **fields}


@pytest.mark.parametrize("version", VERSIONS)
def test_hardware_and_software_as_the_board_told(tmp_path: Path, told: Any, make: Any, version: str) -> None:
    target = {**make.target(), "board": "q1", "features": ["Network", "gpu/3d"]}
    lines = told(
        ("run", {"tags": ["nightly"]}), ("target", target), boot(inventory=INVENTORY), boot(boot_id=2, inventory={}),
        ("outcome", make.outcome("t.py::a")), ("end", {"status": 0, "seconds": 9.0}),
    )  # fmt: skip
    run = runs(lines, tmp_path, version)["t.py"]
    devices = [
        (one["device_type"], one["description"], one["attributes"]) for one in run["hardware_context"]["devices"]
    ]
    assert [kind for kind, _, _ in devices] == [
        "device.board", "device.mem", "device.cpu", "device.cpu", "device.usb",
    ]  # fmt: skip
    assert devices[0][1] == "q1: TI OMAP4 PandaBoard"
    assert devices[0][2]["compatible"] == "ti,omap4-panda ti,omap4430"
    assert devices[1][1:] == ("1024 MiB of memory", {"bytes": str(1 << 30)})
    assert devices[2][2] == {"processor": "0", "model": "ARM Cortex-A9", "part": "0x41:0xc09", "features": "half thumb"}
    assert devices[4][1:] == ("0424:9514", {"id": "0424:9514", "bus": "1-1", "speed": "480"})
    assert run["software_context"]["packages"] == [
        {"name": "linux", "version": "6.1.0-rc1-g12ab34cd56ef"},
        {"name": "bash", "version": "5.2"}, {"name": "zlib1g", "version": "unknown"},
    ]  # fmt: skip
    assert run["tags"] == ["nightly", "network", "gpu-3d"]
    assert run["attributes"].items() >= {
        "target.model": "TI OMAP4 PandaBoard", "kernel.cmdline": "console=ttyO2", "system": "Debian GNU/Linux 12",
        "kernel.commit": "12ab34cd56ef", "boot.count": "2", "time.boot": "7.000",
    }.items()  # fmt: skip


def test_the_system_is_the_image_where_none_was_deployed(tmp_path: Path, told: Any, make: Any) -> None:
    target = {**make.target(), "image": None}
    lines = told(("target", target), boot(inventory=INVENTORY), ("outcome", make.outcome("t.py::a")))
    assert runs(lines, tmp_path)["t.py"]["software_context"]["image"] == {"name": "Debian GNU/Linux 12"}


@pytest.mark.parametrize("damage", [None, [], "x", {"cores": "x", "usb": [1], "packages": [1, [2]], "memory": "much"}])
def test_an_inventory_of_a_stranger(tmp_path: Path, told: Any, make: Any, damage: Any) -> None:
    lines = told(("target", make.target()), boot(inventory=damage), ("outcome", make.outcome("t.py::a")))
    assert len(runs(lines, tmp_path)["t.py"]["hardware_context"]["devices"]) == 1


def test_too_much_is_told_once_only(tmp_path: Path, told: Any, make: Any) -> None:
    """3,000 packages and 10 test runs."""
    many = {**INVENTORY, "packages": [[f"p{n}", "1"] for n in range(3000)]}
    items = [("outcome", make.outcome(f"t{n}.py::a")) for n in range(10)]
    found = runs(told(("target", make.target()), boot(inventory=many), *items), tmp_path)
    sizes = [len(run["software_context"]["packages"]) for run in found.values()]
    assert sizes == [3001] + [1] * 10
    assert [len(run["hardware_context"]["devices"]) for run in found.values()][:2] == [5, 2]


def test_times_of_phases_add_up(tmp_path: Path, told: Any, make: Any) -> None:
    phases = [("deploy", 1.5), ("boot.login", 2.0), ("deploy", 0.25), ("case", 9.0)]
    lines = told(
        ("target", make.target()),
        *(("phase", {"target": "q1-k1", "name": name, "seconds": seconds}) for name, seconds in phases),
        ("phase", {"target": "", "name": "fetch", "seconds": 4.0}),
        ("outcome", make.outcome("t.py::a")),
    )
    facts = runs(lines, tmp_path)["t.py"]["attributes"]
    assert {name: value for name, value in facts.items() if name.startswith("time.")} == {
        "time.deploy": "1.750", "time.boot.login": "2.000", "time.fetch": "4.000",
    }  # fmt: skip


# -- serial logs ------------------------------------------------------------------------------------------------


def test_lines_are_counted_right() -> None:
    dice = random.Random(7)
    data = bytes(dice.choice(b"\nab") for _ in range(300_000))
    part = LogPart("c", "console.log", data, 1000)
    for offset in [1000, 1000 + len(data), *(dice.randrange(1000, 1000 + len(data)) for _ in range(300))]:
        assert part.lineno(offset) == data[: offset - 1000].count(b"\n") + 1
    assert part.lineno(999) is None
    assert part.lineno(1001 + len(data)) is None


@pytest.mark.parametrize("version", VERSIONS)
def test_each_result_has_its_line_in_the_part_of_its_run(tmp_path: Path, told: Any, make: Any, version: str) -> None:
    log = b"".join(b"line %d\n" % number for number in range(100))
    (tmp_path / "console.log").write_bytes(log)
    places = {name: log.index(b"line %d\n" % number) for name, number in (("a", 10), ("b", 20), ("c", 33), ("d", 50))}
    items = [
        make.outcome(f"{file}.py::{name}", console=[places[name], places[name] + 16], console_log="console.log")
        for file, name in (("t", "a"), ("t", "b"), ("t", "c"), ("u", "d"))
    ]
    found = runs(told(*(("outcome", {**item, "board": "q1"}) for item in items)), tmp_path, version)
    for file, begin, end in (("t.py", 10, 35), ("u.py", 50, 52)):
        data = content(found[file])["console-q1.log"]
        assert data == b"".join(b"line %d\n" % number for number in range(begin, end))
    lines = {case["test_case_id"]: case["log_lineno"] for case in found["t.py"]["test_results"]}
    assert lines == {"a": 1, "b": 11, "c": 24}
    assert {case["log_filename"] for case in found["t.py"]["test_results"]} == {"console-q1.log"}
    assert found["u.py"]["test_results"][0]["log_lineno"] == 1


def test_a_part_that_is_too_long_loses_its_beginning(tmp_path: Path, told: Any, make: Any) -> None:
    (tmp_path / "console.log").write_bytes(b"x\n" * 1000)
    items = [
        make.outcome(f"t.py::{name}", console=[at, at], console_log="console.log")
        for name, at in (("a", 0), ("b", 1990))
    ]
    items[1]["console"] = [1990, 2000]
    lines = told(("run", {"attachment_limit": 100}), *(("outcome", item) for item in items))
    run = runs(lines, tmp_path)["t.py"]
    assert content(run)["console-board.log"] == b"x\n" * 50
    assert run["attributes"]["console-board.log.truncated"] == "only the last 100 of 2000 bytes"
    first, second = run["test_results"]
    assert "log_lineno" not in first
    assert second["log_lineno"] == 46


# -- files ------------------------------------------------------------------------------------------------------


def attached(folder: Path, **files: bytes) -> list[dict[str, str]]:
    for name, data in files.items():
        (folder / name).write_bytes(data)
    mimes = {"text": "text/plain", "blob": "application/octet-stream"}
    return [{"name": name, "path": name, "mime": mimes[name.rstrip("0123456789")]} for name in files]


def test_what_is_too_large_is_cut_and_said_so(tmp_path: Path, told: Any, make: Any) -> None:
    files = attached(tmp_path, text=b"0123456789" * 30, blob=bytes(300), blob1=bytes(200))
    line = make.outcome("t.py::a", attachments=files)
    lines = told(("run", {"attachment_limit": 200, "public_url": "https://ci.example/run7/"}), ("outcome", line))
    for version in VERSIONS:
        run = runs(lines, tmp_path, version)["t.py"]
        (case,) = run["test_results"]
        where = "a/" if version == "1.3" else ""
        here = content(run if version == "1.3" else case)
        assert set(here) == {f"{where}text", f"{where}blob1"}
        assert here[f"{where}text"] == (b"0123456789" * 20) + b"\n... the rest is in the run folder only\n"
        sums = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("text", "blob")}
        assert case["attributes"]["cut.text"] == f"the first 200 of 300 bytes, sha256 {sums['text']}; all of it is text"
        assert case["attributes"]["cut.blob"] == f"300 bytes, sha256 {sums['blob']}; all of it is blob"
        assert [one for one in run["attachments"] if "content" not in one] == [
            {"pathname": f"a/{name}", "mime_type": mime, "public_url": f"https://ci.example/run7/{name}"}
            for name, mime in (("text", "text/plain"), ("blob", "application/octet-stream"))
        ]


def test_all_files_together_have_a_limit(tmp_path: Path, told: Any, make: Any) -> None:
    files = attached(tmp_path, **{f"blob{n}": bytes(100) for n in range(20)})
    lines = told(("run", {"attachment_limit": 100}), ("outcome", make.outcome("t.py::a", attachments=files)))
    (case,) = runs(lines, tmp_path)["t.py"]["test_results"]
    assert len(case["attachments"]) == 8
    assert sum(name.startswith("cut.") for name in case["attributes"]) == 12


def test_output_that_is_too_long_is_cut(tmp_path: Path, told: Any, make: Any) -> None:
    out = base64.b64encode(b"0123456789" * 10 + b"x").decode()
    command = make.outcome(
        "c::yes", command="yes", suite="yes", stdout_b64=out, stderr_b64=base64.b64encode(b"e").decode()
    )
    (case,) = runs(told(("run", {"attachment_limit": 31}), ("outcome", command)), tmp_path)["yes"]["test_results"]
    assert content(case) == {"stdout.txt": b"0123456789" * 3, "stderr.txt": b"e"}
    assert case["attributes"]["cut.stdout.txt"] == "the first 30 of 101 bytes; the journal has all"
