"""The event log: one JSON object a line, phases in pairs, the console's position beside each."""

import json
import logging

import pytest

from pytest_lava.errors import BootFailed
from pytest_lava.events import EventLog


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_event_is_one_line_with_board_and_console_offset(tmp_path):
    log = EventLog(tmp_path / "events.jsonl")
    log.emit("lab opened")
    log.bound("panda", lambda: 42).emit("two\nlines \udcff", level="warning", extra=1)
    log.close()
    first, second = lines(tmp_path / "events.jsonl")
    assert first["message"] == "lab opened"
    assert "board" not in first
    assert (second["board"], second["console"], second["level"], second["extra"]) == ("panda", 42, "warning", 1)


def test_a_phase_is_told_to_its_listener_also_when_it_fails(tmp_path):
    seen = []
    log = EventLog(tmp_path / "events.jsonl", on_phase=seen.append)
    with log.phase("deploy"):
        pass
    with pytest.raises(BootFailed), log.phase("boot.kernel"):
        raise BootFailed("no kernel")
    log.close()
    assert [(phase.name, phase.error and phase.error.type) for phase in seen] == [
        ("deploy", None),
        ("boot.kernel", "BootFailed"),
    ]
    assert all(phase.seconds >= 0 and phase.start for phase in seen)
    assert lines(tmp_path / "events.jsonl")[-1]["message"].startswith("boot.kernel failed: no kernel (")


def test_a_name_that_is_no_phase_is_refused():
    with pytest.raises(ValueError, match="unknown phase"), EventLog().phase("dance"):
        pass


def test_events_reach_pythons_logging(caplog):
    with caplog.at_level(logging.DEBUG, "pytest_lava"):
        EventLog().emit("power on")
    assert "power on" in caplog.text
