"""``pytest-lava log``: what was done, in order and indented, and what the board said between."""

import json
from contextlib import suppress
from pathlib import Path

from pytest_lava.cli import main
from pytest_lava.events import EventLog
from pytest_lava.results.event_text import as_text, read_events

STAMP = len("05:26:53.672")


def shown(folder: Path, **options: bool) -> list[str]:
    """The lines without their times."""
    return [line[STAMP:] for line in as_text(read_events(folder), **options)][1:]


def board_events(folder: Path, name: str = "desk", worker: str = "") -> tuple[EventLog, EventLog, Path]:
    """An event log of our own, a view of it for a board, and the board's console log."""
    (folder / worker).mkdir(exist_ok=True)
    log = folder / worker / ("console.log" if not worker else f"console-{name}.log")
    log.write_bytes(b"")
    events = EventLog(folder / f"events{'-' if worker else ''}{worker}.jsonl")
    return events, events.bound(name, lambda: log.stat().st_size), log


def test_phases_are_indented_and_an_empty_one_is_a_line(tmp_path):
    events, board, _ = board_events(tmp_path)
    with board.phase("deploy"):
        pass
    with board.phase("recovery"):
        board.emit("power off")
        with board.phase("power"):
            board.emit("power on")
    board.emit("done")
    events.close()
    lines = [line.rsplit(" (", 1)[0] for line in shown(tmp_path)]
    assert lines == [
        "  deploy done", "  recovery begins", "    power off", "    power begins", "      power on",
        "    power done", "  recovery done", "  done",
    ]  # fmt: skip


def test_a_phase_that_failed_ends_those_within(tmp_path):
    events, board, _ = board_events(tmp_path)
    with suppress(OSError), board.phase("recovery"), board.phase("power"):
        board.emit("power on")
        raise OSError("no current")
    board.emit("next")
    events.close()
    assert [line.split(" (")[0] for line in shown(tmp_path)][2:] == [
        "      power on", "    error: power failed: no current", "  error: recovery failed: no current", "  next",
    ]  # fmt: skip


def test_what_the_board_said_stands_where_it_came_without_frames(tmp_path):
    events, board, log = board_events(tmp_path)
    board.emit("$ uname", level="input")
    log.write_bytes(b"\r\n~1a2b3;0;1.00;1.01;6;11;0;12;~\r\nLinux\r\n~1a2b3;0.\r\n")
    board.emit("test ends")
    with log.open("ab") as more:
        more.write(b"[    9.000000] \x1b[31mreboot\x1b[0m: Power down\r\n")
    events.close()
    assert shown(tmp_path) == ["  $ uname", "  test ends"]
    with_console = list(as_text(read_events(tmp_path), console=True))
    assert [line.lstrip() for line in with_console[2:]] == [
        "| Linux", with_console[3], "| [    9.000000] reboot: Power down",
    ]  # fmt: skip
    assert with_console[3].endswith("test ends")


def test_programs_that_were_typed_are_one_line_and_whole_with_fields(tmp_path):
    events, board, _ = board_events(tmp_path)
    board.emit("$ if true\nthen echo\nfi", level="input", pid=7)
    board.emit("$ " + "x" * 500, level="input")
    events.close()
    short = shown(tmp_path)
    assert short[0] == "  $ if true (and 2 lines more)"
    assert len(short[1]) < 150
    assert [line.strip() for line in shown(tmp_path, fields=True)] == [
        "$ if true", "then echo", "fi", "pid = 7", "$ " + "x" * 500,
    ]  # fmt: skip


def test_workers_are_told_apart_and_their_logs_are_their_own(tmp_path):
    for worker, name in (("gw0", "one"), ("gw1", "second")):
        events, board, log = board_events(tmp_path, name, worker)
        log.write_bytes(f"I am {name}\n".encode())
        board.emit("power on")
        events.close()
    lines = [line[STAMP:].rstrip() for line in as_text(read_events(tmp_path), console=True)][1:]
    assert lines == ["         | I am one", "  one    power on", "         | I am second", "  second power on"]


def test_torn_and_foreign_lines_are_left_out(tmp_path):
    events, board, _ = board_events(tmp_path)
    board.emit("power on")
    events.close()
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(b'null\n[1]\n{"time": 3, "message": "x"}\n\xff\xfe\n{"time": "2026-11-28T0')
    assert shown(tmp_path) == ["  power on"]


def test_control_characters_do_not_reach_the_terminal(tmp_path):
    events, board, log = board_events(tmp_path)
    log.write_bytes(b"a\x07b\x1b]0;title\x07c\n")
    board.emit("said \x1b[2Jx")
    events.close()
    assert not any(code in line for line in as_text(read_events(tmp_path), console=True) for code in ("\x1b", "\x07"))


def test_the_command(tmp_path, capsys):
    events, board, _ = board_events(tmp_path)
    board.emit("power on")
    board.emit("board lost: no answer", level="warning")
    events.close()
    assert main(["log", str(tmp_path), "--faults"]) == 0
    assert capsys.readouterr().out.splitlines()[1][STAMP:] == "  warning: board lost: no answer"
    assert main(["log", str(tmp_path), "--board", "disk"]) == 4
    assert capsys.readouterr().err == "pytest-lava: --board: disk was no board of this run; there are desk\n"
    assert main(["log", str(tmp_path / "nothing")]) == 4
    assert "give a run folder, such as lava-runs/latest" in capsys.readouterr().err


def test_the_order_is_that_of_time(tmp_path):
    rows = [{"time": f"2026-11-28T23:59:5{n}.000000+00:00", "level": "info", "message": str(n)} for n in (9, 7)]
    rows.append({"time": "2026-11-29T00:00:01.000000+00:00", "level": "info", "message": "new day"})
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert list(as_text(read_events(tmp_path))) == [
        "2026-11-28 (UTC)", "23:59:57.000  7", "23:59:59.000  9", "2026-11-29 (UTC)", "00:00:01.000  new day",
    ]  # fmt: skip
