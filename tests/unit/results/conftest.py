"""A run folder as a real run leaves it, written through the real journal."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_lava.results.journal import Journal

RUN = "6f3b1c52-7a55-4a3f-9a7e-0a4de1f1c001"
CONSOLE = b"U-Boot 2024.01\r\nLinux version 6.1\r\n\x1b[32mok\x1b[0m\r\nlogin:\r\nOops: bad\r\nCPU: 0\r\n"


def outcome(nodeid: str, **fields: Any) -> dict[str, Any]:
    """Fields of an outcome line: a passed call, unless said otherwise."""
    suite, _, case = nodeid.partition("::")
    line = {
        "nodeid": nodeid, "suite": suite, "case": case, "when": "call", "outcome": "passed", "seconds": 0.25,
        "start": "2026-11-24T01:00:05.500000+00:00", "stop": "2026-11-24T01:00:05.750000+00:00", "message": "",
        "longrepr": "", "sections": [], "target": "q1-k1", "console": None, "error": None, "properties": [],
    }  # fmt: skip
    return {**line, **fields}


def target(name: str = "q1-k1") -> dict[str, Any]:
    return {
        "target": name, "device_type": "qemu-arm64", "arch": "arm64", "emulated": True,
        "kernel": {"name": "Image", "path": "/k/Image", "sha256": "ab" * 32, "arch": "arm64", "kind": "Image"},
        "image": {"name": "rootfs.ext4", "path": "/i/rootfs.ext4", "sha256": "cd" * 32},
    }  # fmt: skip


def error(blame: str = "infrastructure", **fields: Any) -> dict[str, Any]:
    line = {"type": "PowerError", "message": "the switch is silent", "blame": blame, "effect": "board"}
    return {**line, "result": "fail" if blame in ("job", "test") else "unknown", "evidence": "", **fields}


def fill(journal: Journal) -> None:
    """Tests that pass, fail, skip and break, a command, and a recovered deployment."""
    journal.write("run", argv=["--board=q1"], rootdir="/r", host="desk", versions={"pytest": "9"}, boards=["q1"])
    journal.write("target", board="q1", console_log="console.log", **target())
    broken = error(type="NetworkError", message="tftp timeout")
    journal.write("phase", board="q1", target="q1-k1", name="deploy", start="", seconds=2.0, error=broken)
    journal.write("phase", board="q1", target="q1-k1", name="deploy", start="", seconds=1.0, error=None)
    journal.write(
        "boot", board="q1", target="q1-k1", boot_id=1, seconds=3.5, console=[0, 40], uname={"release": "6.1.0"}
    )
    for name, fields in (
        ("test_good", {"sections": [["Captured stdout call", "hällo\n"]], "properties": [["measurement", 12.5]]}),
        ("test_bad[2 MB]", {"outcome": "failed", "message": "assert 1 == 2", "longrepr": "E  assert 1 == 2"}),
        ("test_off", {"outcome": "skipped", "message": "not here"}),
        ("TestA::test_x", {"outcome": "skipped", "wasxfail": "known"}),
    ):
        journal.write("start", board="q1", nodeid=f"tests/test_mm.py::{name}", target="")
        extra = {"console": [16, 67], "console_log": "console.log", **fields}
        journal.write("outcome", board="q1", **outcome(f"tests/test_mm.py::{name}", **extra))
    lab = {"when": "setup", "outcome": "failed", "message": "no power", "error": error()}
    journal.write("outcome", board="q1", **outcome("tests/test_lab.py::test_power", **lab))
    streams = {"stdout_b64": base64.b64encode(b"Mem:\0\xff\n").decode(), "stderr_b64": ""}
    command = {"suite": "free -m", "case": "free -m", "command": "free -m", "status": 0, **streams}
    journal.write("outcome", board="q1", **outcome("commands::free -m", **command))
    journal.write("note", board="q1", text="console was quiet for 9 s")
    journal.write("end", status=1, seconds=9.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished run."""
    (tmp_path / "console.log").write_bytes(CONSOLE)
    with Journal(tmp_path / "journal.jsonl", run=RUN) as journal:
        fill(journal)
    return tmp_path


@pytest.fixture
def told(tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Lines of a journal that holds the given (kind, fields)."""

    def tell(*lines: tuple[str, dict[str, Any]], attempt: int = 1, worker: str = "main") -> list[dict[str, Any]]:
        from pytest_lava.results.journal import read

        path = tmp_path / f"journal-{worker}-{attempt}.jsonl"
        with Journal(path, run=RUN, worker=worker, attempt=attempt) as journal:
            for kind, fields in lines:
                journal.write(kind, **fields)
        return read(tmp_path)

    return tell


@pytest.fixture
def make() -> Any:
    """The builders of lines."""

    class Make:
        outcome = staticmethod(outcome)
        error = staticmethod(error)
        target = staticmethod(target)

    return Make
