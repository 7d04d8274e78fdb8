"""How soon a panic is a verdict, and how soon the next test runs: ten tests on qemu-arm64, the third panics.

    .venv/bin/python benchmarks/recovery.py [RUNS]

The panic line's time is that of the console's index. One line a run, then medians, with snapshots and without.
"""

from __future__ import annotations

import json
import statistics
import struct
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

TESTS = """
import time, pytest

@pytest.mark.parametrize("n", range(10))
def test_n(shell, n):
    if n == 3:
        print("BEGINS", repr(time.time()))
    if n == 2:
        try:
            shell.run("echo c >/proc/sysrq-trigger")
        finally:
            print("VERDICT", repr(time.time()))
    assert shell.run(f"echo {n}").stdout == f"{n}\\n"
"""


def measure(folder: Path, option: str) -> dict[str, float]:
    """One run: seconds from the panic line and from the end of its trace to the verdict, and from there to test 4."""
    (folder / "test_ten.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "--board=qemu-arm64", option, "--lava-dir=run", "test_ten.py"]
    done = subprocess.run(
        [*command, "-p", "no:html"], cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    assert "1 failed, 9 passed" in done.stdout, done.stdout
    run = folder / "run"
    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    said = "".join(text for line in lines for _, text in line.get("sections", ()))
    stamps = {word: float(said.split(word, 1)[1].split()[0]) for word in ("VERDICT", "BEGINS")}
    (recovery,) = [line for line in lines if line["kind"] == "recovery"]
    (failed,) = [line for line in lines if line.get("outcome") == "failed"]
    told = datetime.fromisoformat(failed["time"]).timestamp()
    return {
        "panic line -> verdict": stamps["VERDICT"] - arrival(run, b"Kernel panic - not syncing: sysrq"),
        "end of trace -> verdict": stamps["VERDICT"] - arrival(run, b"end Kernel panic"),
        "verdict -> test 4": stamps["BEGINS"] - stamps["VERDICT"],
        "recorded -> test 4": stamps["BEGINS"] - told,
        f"recovery by {recovery['by']}": recovery["seconds"],
        "boot": next((line["seconds"] for line in lines if line["kind"] == "boot"), 0.0),
    }


def arrival(run: Path, text: bytes) -> float:
    """When this came, seconds since 1970."""
    offset = (run / "console.log").read_bytes().index(text)
    entries = struct.iter_unpack("<QQ", (run / "console.idx").read_bytes())
    return max(moment for moment, at in entries if at <= offset) / 1e9


def main() -> None:
    """Both ways."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for option in ("--snapshot", "--no-snapshot"):
        found: list[dict[str, float]] = []
        for _ in range(count):
            with tempfile.TemporaryDirectory() as folder:
                found.append(measure(Path(folder), option))
        print(option)
        for name in found[0]:
            values = sorted(one[name] for one in found if name in one)
            print(f"  {name:<28} {statistics.median(values):7.3f} s  ({values[0]:.3f} to {values[-1]:.3f})")


if __name__ == "__main__":
    main()
