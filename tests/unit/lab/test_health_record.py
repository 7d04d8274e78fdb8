"""The history of health checks, which many runs add to."""

from __future__ import annotations

from pathlib import Path

from pytest_lava.lab.health import Health, Step
from pytest_lava.lab.health_record import history, remember

GOOD = Step("boot", "passed", 2.5, "Linux 6.1")
BAD = Step("boot", "failed", 60.0, "the boot loader's prompt never came")


def test_history(tmp_path: Path) -> None:
    file = tmp_path / "state" / "health.jsonl"
    assert history(file=file) == []
    remember(Health("a", "2026-11-27T20:00:00+00:00", 2.6, (GOOD, Step("network", "skipped")), tmp_path), file)
    remember(Health("b", "2026-11-27T21:00:00+00:00", 60.1, (BAD, Step("shell", "skipped")), tmp_path), file)
    with file.open("ab") as open_file:
        open_file.write(b'{"time": "torn\n[]\n{"another": "version"}\n')
    remember(Health("a", "2026-11-27T22:00:00+00:00", 2.4, (GOOD,), tmp_path), file)
    assert [(entry.board, entry.healthy, entry.why) for entry in history(file=file)] == [
        ("a", True, ""),
        ("b", False, "boot: the boot loader's prompt never came"),
        ("a", True, ""),
    ]
    assert [entry.steps for entry in history(["a"], file)] == [{"boot": 2.5}] * 2
