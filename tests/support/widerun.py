"""A run folder with all that is difficult for a result server: two targets, names without end, files, a dirty log."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from pathlib import Path

from pytest_lava.results.journal import Journal
from pytest_lava.sinks.api import Results

__all__ = ["TARGETS", "dirty_log", "wide_run", "write_case", "write_head", "write_target"]

#: target id: kernel release
TARGETS = {"q1-next": "6.1.0-rc1+", "q1-stable": "6.0.7"}
_LONG = "a-name-without-end/" * 20
_NAMES = (
    ("tests/test_mm.py", "TestMm::test_huge[2 MB/4 KB]"),
    ("tests/test_mm.py", "test_plain"),
    ("tests/test_mm.py", "test_umlaut[größe]"),
    ("smoke", "speed"),
    ("smoke", "one/two"),
    ("smoke", "same"),
    ("smoke", "same"),
    (_LONG, "short"),
    ("long", f"test[{_LONG}]"),
    ("long", f"test[{_LONG}x]"),
)
_WORDS = ("passed", "failed", "skipped", "passed")


def wide_run(
    folder: Path, *, tests: int = 0, files: int = 3, targets: Sequence[str] = tuple(TARGETS), run: str = ""
) -> Results:
    """A finished run; ``tests`` more results, with ``files`` attachments on its first target."""
    folder.mkdir(parents=True, exist_ok=True)
    run = run or str(uuid.uuid4())
    (folder / "console.log").write_bytes(dirty_log(5000))
    with Journal(folder / "journal.jsonl", run=run) as journal:
        write_head(journal)
        for target in targets:
            write_target(journal, target)
            for number, (suite, case) in enumerate(_NAMES):
                write_case(journal, target, (suite, case), _WORDS[number % 4], number)
        for number in range(files):
            (folder / f"file{number}.bin").write_bytes(dirty_log(200 + number, seed=number))
            attached = [{"name": "trace.bin", "path": f"file{number}.bin", "mime": "application/octet-stream"}]
            write_case(journal, targets[0], ("files", f"attach {number}"), "failed", attachments=attached)
        for number in range(tests):
            write_case(journal, targets[0], (f"many{number % 7}", f"test_{number}"), _WORDS[number % 4])
        write_case(journal, "", ("tests/test_host.py", "test_host"), "passed")
        journal.write("end", status=1, seconds=9.0)
    return Results(run, folder, folder / "bundle.json")


def write_head(journal: Journal) -> None:
    """The first line of a run."""
    journal.write("run", argv=["--board=q1"], rootdir="/r", host="desk", versions={"pytest": "9"}, boards=["q1"])


def write_target(journal: Journal, target: str) -> None:
    """A board that was leased and booted."""
    release = TARGETS[target]
    journal.write(
        "target", board="q1", target=target, device_type="qemu_arm64", arch="arm64", emulated=True,
        console_log="console.log", image={"name": "rootfs.ext4", "path": "/i", "sha256": "cd" * 32},
        kernel={"name": "Image", "path": "/k", "sha256": f"{len(release):02x}" * 32, "release": release,
                "arch": "arm64", "kind": "Image", "origin": {"text": "/src/linux", "commit": "0123456789" * 4}},
    )  # fmt: skip
    journal.write("phase", board="q1", target=target, name="deploy", start="2026-11-24T01:00:00+00:00", seconds=1.25)
    journal.write("boot", board="q1", target=target, boot_id=1, seconds=3.5, uname={"release": release})


def write_case(
    journal: Journal, target: str, name: tuple[str, str], word: str, number: int = 0, **more: object
) -> None:
    """One test of a suite to its end."""
    suite, case = name
    nodeid = f"{suite}::{case}[{target}-{number}]"
    measured = [["measurement", -0.5], ["units", "MB per second and very much more"]] if suite == "smoke" else []
    journal.write("start", nodeid=nodeid, suite=suite, case=case, target=target)
    for when in ("call", "teardown"):
        line: dict[str, object] = {
            "suite": suite, "case": case, "target": target, "error": None, "seconds": 0.25, "properties": measured,
            "start": "2026-11-24T01:00:05.500000+00:00", "stop": "2026-11-24T01:00:05.750000+00:00",
        }  # fmt: skip
        if when == "call":
            line |= {
                "message": "" if word == "passed" else "größer als\0 erlaubt",
                "longrepr": "E  assert 1 == 2" if word == "failed" else "",
                "sections": [["Captured stdout call", "\x1b[1mhällo\x1b[0m \ud800\0\n"]],
                **more,
            }
            if suite == "smoke":
                bounds = {"low": None, "high": 5, "result": "fail", "message": "6 is above 5"}
                journal.write(
                    "measurement", nodeid=nodeid, target=target, name="heat/cpu", value=6, units="°C", **bounds
                )
        outcome = word if when == "call" else "passed"
        journal.write("outcome", board="q1", nodeid=nodeid, when=when, outcome=outcome, **line)


def dirty_log(size: int, *, seed: int = 1) -> bytes:
    """Bytes of all kinds."""
    return random.Random(seed).randbytes(size)
