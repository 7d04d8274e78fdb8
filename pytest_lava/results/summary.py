"""What a run comes to: its root cause in one line, and its exit status."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_lava.errors import Blame, Effect, ExitStatus
from pytest_lava.results.journal import Line
from pytest_lava.results.record import LAVA, Case, Record

__all__ = ["Fault", "exit_status", "fault", "first_fault", "moment", "root_cause", "told_resumes"]

#: a test's own time, and an upload, which never fails a run
_HARMLESS = ("case", "submit")


@dataclass(frozen=True)
class Fault:
    """A failure that is none of a test: what failed, where, when and the classified error."""

    name: str
    where: str
    time: str
    error: Line


def root_cause(record: Record) -> str | None:
    """The first deploy, boot or infrastructure failure in one line, None if there was none."""
    found = first_fault(record)
    return fault(found) if found else None


def exit_status(record: Record, pytest_status: int) -> int:
    """The exit status of the run, given that of pytest.

    pytest's own 2 (interrupted), 3 (internal error), 4 (usage) and 5 (no tests) stay. Else 1 if a test failed or the
    kernel did not boot, 69 if only the lab was at fault, 4 if only the configuration was, 0 if all is well.
    """
    if pytest_status not in (0, 1):
        return pytest_status
    blames = {str(found.error.get("blame")) for found in _faults(record)}
    failing = [case for case in record.cases if case.verdict.outcome in ("failed", "error")]
    if any(_blame(case) not in (Blame.INFRASTRUCTURE, Blame.CONFIGURATION) for case in failing) or Blame.JOB in blames:
        return ExitStatus.TESTS_FAILED
    if Blame.INFRASTRUCTURE in blames:
        return ExitStatus.LAB_FAULT
    if Blame.CONFIGURATION in blames:
        return ExitStatus.USAGE
    return ExitStatus.TESTS_FAILED if blames else pytest_status


def told_resumes(record: Record) -> list[str]:
    """A line for each board that was resumed in a state kept earlier, as such a run says nothing about its boot."""
    found: dict[tuple[str, str], int] = {}
    for line in record.resumes:
        key = str(line.get("target") or line.get("board")), moment(str(line.get("resumed")))
        found[key] = found.get(key, 0) + 1
    booted = {str(line.get("target") or line.get("board")) for line in record.boots}
    return [
        f"{target} {'also resumed' if target in booted else 'was not booted: it resumed'} the state kept at {when}"
        f"{f' ({count} times)' if count > 1 else ''}; --no-snapshot boots"
        for (target, when), count in found.items()
    ]


def moment(iso: str) -> str:
    """An ISO time in UTC for people: to the second."""
    return f"{iso[:19].replace('T', ' ')} UTC"


def first_fault(record: Record) -> Fault | None:
    """The earliest failure that was not recovered from and is no test's own."""
    return min(_faults(record), key=lambda found: found.time, default=None)


def fault(found: Fault) -> str:
    """One line for a person."""
    blame = str(found.error.get("blame") or "")
    stage = found.name.partition(".")[0]  # boot.login and the report it made are one event
    kind = "lab fault" if blame == Blame.INFRASTRUCTURE else f"{stage} failed"
    text = str(found.error.get("message") or "").strip().splitlines()
    return f"{kind}{f' on {found.where}' if found.where else ''}: {text[0] if text else 'no reason given'}"


def _faults(record: Record) -> list[Fault]:
    # a phase that failed and then succeeded in another try was recovered from
    # (workers may drive boards of one target)
    last = {
        (line.get("target") or line.get("board"), line.get("name"), line.get("worker")): line for line in record.phases
    }
    faults = [
        Fault(str(name), str(where or ""), str(line["time"]), line["error"])
        for (where, name, _), line in last.items()
        if line.get("error") and name not in _HARMLESS and not _is_harmless(line["error"])
    ]
    return faults + [_of_case(case) for case in record.cases if _is_fault(case)]


def _is_harmless(error: Line) -> bool:
    """A test's own, or somebody's Ctrl-C."""
    return error.get("blame") == Blame.TEST or error.get("type") in ("KeyboardInterrupt", "Exit")


def _is_fault(case: Case) -> bool:
    verdict = case.verdict
    if case.suite == LAVA and not case.command:
        return verdict.outcome in ("failed", "error")
    # a skip that carries an error is one because the board or kernel had ended
    reaching = verdict.error.get("effect") in (Effect.BOARD, Effect.RUN)
    at_fault = verdict.error.get("blame") in (Blame.INFRASTRUCTURE, Blame.CONFIGURATION)
    return verdict.outcome in ("failed", "error", "skipped") and (reaching or at_fault)


def _of_case(case: Case) -> Fault:
    line = case.verdict.line or {}
    error = case.verdict.error or {
        "message": case.verdict.message, "blame": Blame.JOB.value, "effect": Effect.BOARD.value, "result": "fail",
    }  # fmt: skip
    name = case.name if case.suite == LAVA else ("test set-up" if case.verdict.when == "setup" else "test")
    return Fault(name, case.target or case.board, str(line.get("time") or case.started), error)


def _blame(case: Case) -> str:
    return str(case.verdict.error.get("blame") or Blame.TEST)
