"""A run folder as a finished run leaves it, written through the real journal: what sinks send."""

from __future__ import annotations

import uuid
from pathlib import Path

from pytest_lava.results import junit
from pytest_lava.results.bundle.building import build_bundle
from pytest_lava.results.bundle.encoding import write_bundle
from pytest_lava.results.journal import Journal, read
from pytest_lava.sinks.api import Results

__all__ = ["finished_run"]

_WORDS = ("passed", "failed", "skipped", "passed")


def finished_run(folder: Path, *, tests: int = 4, run: str = "", version: str = "1.5", output: str = "") -> Results:
    """A run on one board with so many results, of every kind; each test has ``output`` as its captured output."""
    folder.mkdir(parents=True, exist_ok=True)
    run = run or str(uuid.uuid4())
    (folder / "console.log").write_bytes(b"U-Boot 2024.01\r\nLinux version 6.1\r\nlogin:\r\n" + output.encode())
    with Journal(folder / "journal.jsonl", run=run) as journal:
        journal.write("run", argv=["--board=q1"], rootdir="/r", host="desk", versions={"pytest": "9"}, boards=["q1"])
        journal.write(
            "target", board="q1", target="q1", device_type="qemu-arm64", arch="arm64", emulated=True,
            console_log="console.log", image={"name": "rootfs.ext4", "path": "/i", "sha256": "cd" * 32},
            kernel={"name": "Image", "path": "/k", "sha256": "ab" * 32, "arch": "arm64", "kind": "Image"},
        )  # fmt: skip
        journal.write("boot", board="q1", target="q1", boot_id=1, seconds=3.5, uname={"release": "6.1.0"})
        for number in range(tests):
            word = _WORDS[number % 4]
            journal.write(
                "outcome", board="q1", nodeid=f"tests/test_mm.py::test_{number}[ä]", suite="tests/test_mm.py",
                case=f"test_{number}[ä]", when="call", outcome=word, seconds=0.25, target="q1", error=None,
                start="2026-11-24T01:00:05.500000+00:00", stop="2026-11-24T01:00:05.750000+00:00",
                message="" if word == "passed" else "größer als erlaubt", longrepr="E  assert 1 == 2",
                sections=[["Captured stdout call", output or "hällo\n"]], properties=[["measurement", number / 8]],
                console=[0, 40], console_log="console.log",
            )  # fmt: skip
        journal.write("end", status=1, seconds=9.0)
    lines = read(folder)
    write_bundle(folder / "bundle.json", build_bundle(lines, version=version, folder=folder))
    junit.write(lines, folder / "junit.xml", folder=folder)
    return Results(run, folder, folder / "bundle.json")
