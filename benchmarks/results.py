"""Results of a long run: 10,000 tests with 1 KB of console and of output each, from the journal to files."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

from benchmarks import venvs
from benchmarks.process import measure
from benchmarks.stats import Sample, Table, interleaved, spread
from pytest_lava.results.journal import Journal

__all__ = ["results"]

_TESTS, _LOG = 10_000, 1024
_LINE = b"[  123.456789] usb 1-1: new high-speed USB device number 7 using xhci_hcd, and so on\r\n"
_PARTS = """
import sys, time
from pathlib import Path
from pytest_lava.results.bundle.building import build_bundle
from pytest_lava.results.bundle.encoding import write_bundle
from pytest_lava.results.bundle.schema import validate
from pytest_lava.results.journal import read
folder = Path(sys.argv[1])
began = time.process_time()
lines = read(folder)
have = time.process_time()
found = build_bundle(lines, folder=folder)
validate(found)
write_bundle(folder / "bundle.json", found)
Path(sys.argv[2]).write_text(f"{have - began} {time.process_time() - have}")
"""


def results(rounds: int, folder: Path) -> str:
    """Processor time and memory of whole processes."""
    folder.mkdir(parents=True)
    run, parts = folder / "run", folder / "parts"
    _journal(run)
    ours, python = venvs.ours() / "pytest-lava", venvs.ours() / "python"

    def command(*argv: str | Path) -> Sample:
        done = measure(argv, folder=folder)
        if done.status:
            sys.exit(f"{' '.join(map(str, argv))} ended with status {done.status}")
        return {"cpu": done.cpu_all, "rss": float(done.rss)}

    def split() -> Sample:
        found = command(python, "-c", _PARTS, run, parts)
        read, write = map(float, parts.read_text().split())
        return {**found, "read": read, "write": write}

    samples = interleaved(
        rounds,
        {"bundle": lambda: command(ours, "bundle", run), "junit": lambda: command(ours, "junit", run), "parts": split},
    )
    megabytes = sum(path.stat().st_size for path in run.glob("*.jsonl")) / 1e6
    table = Table(f"{_TESTS:,} results with {_LOG} bytes of log each", ["what", "CPU s (quartiles)", "memory MB"])
    for name, label in (("bundle", "`pytest-lava bundle RUN`"), ("junit", "`pytest-lava junit RUN`")):
        memory = max(sample["rss"] for sample in samples[name]) / 1e6
        table.add(label, spread([sample["cpu"] for sample in samples[name]], 1, 2), f"{memory:.0f}")
    for name, label in (("read", "of that: the journal read"), ("write", "of that: built, checked, written")):
        table.add(label, spread([sample[name] for sample in samples["parts"]], 1, 2), "")
    table.remarks.append(
        f"The journal has {megabytes:.0f} MB, the bundle {(run / 'bundle.json').stat().st_size / 1e6:.0f} MB."
    )
    written = statistics.median(sample["write"] for sample in samples["parts"])
    table.target("built, checked and written, median", written, 2, "s of processor time")
    table.target("most memory", max(sample["rss"] for sample in samples["bundle"]) / (1 << 20), 150, "MiB")
    return str(table)


def _journal(folder: Path) -> None:
    """What a run of so many tests leaves behind, every tenth failed."""
    folder.mkdir()
    log = (_LINE * (_LOG // len(_LINE) + 1))[:_LOG]
    (folder / "console.log").write_bytes(log * _TESTS)
    kernel = {"name": "Image", "path": "/k", "sha256": "ab" * 32, "arch": "arm64", "kind": "Image"}
    with Journal(folder / "journal.jsonl", run="6f3b1c52-7a55-4a3f-9a7e-0a4de1f1c001") as journal:
        journal.write("run", argv=["--board=q1"], rootdir="/r", host="desk", versions={"pytest": "9"}, boards=["q1"])
        journal.write(
            "target", board="q1", target="q1", device_type="qemu-arm64", arch="arm64", emulated=True, kernel=kernel,
            console_log="console.log",
        )  # fmt: skip
        journal.write("boot", board="q1", target="q1", boot_id=1, seconds=3.5, uname={"release": "6.1.0"})
        for number in range(_TESTS):
            nodeid = f"tests/test_mm.py::test_{number}"
            journal.write("start", board="q1", nodeid=nodeid, target="q1")
            for when in ("setup", "call", "teardown"):
                failed = when == "call" and number % 10 == 0
                journal.write(
                    "outcome", board="q1", nodeid=nodeid, suite="tests/test_mm.py", case=f"test_{number}", when=when,
                    outcome="failed" if failed else "passed", seconds=0.25, target="q1", error=None, release="6.1.0",
                    start="2026-11-24T01:00:05.500000+00:00", stop="2026-11-24T01:00:05.750000+00:00",
                    message="assert 1 == 2" if failed else "", longrepr="E assert 1 == 2" if failed else "",
                    sections=[["Console of q1", log.decode()]] if when == "call" else [],
                    properties=[["board", "q1"], ["kernel", "6.1.0"]],
                    console=[number * _LOG, (number + 1) * _LOG], console_log="console.log",
                )  # fmt: skip
        journal.write("end", status=1, seconds=9.0)
