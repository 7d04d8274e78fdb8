"""The cases of a run as result servers show them: which there are, and the log of each."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_lava.results.kernel_messages import kernel_messages, kernel_traces
from pytest_lava.results.record import LAVA, Case, Record, finite, results_of
from pytest_lava.results.text import plain, tail

__all__ = ["LOG_LIMIT", "Size", "case_log", "log_limit", "measured_as_a_whole", "shown_cases", "sizes"]

#: characters of one log; KCIDB takes no more than that
LOG_LIMIT = 16 << 10
#: of all logs of a run together, but for the least
_ALL, _LEAST = 32 << 20, 256
_MARGIN = 80  # for the line that says how much was cut


@dataclass(frozen=True)
class Size:
    """A number that a test recorded beside its result; ``bounded``: it is good or bad, by ``result``."""

    name: str
    value: float
    unit: str
    result: str
    message: str
    bounded: bool


def sizes(case: Case) -> list[Size]:
    """The numbers that a case recorded, each a result of its own."""
    return [
        Size(
            str(line.get("name") or ""),
            size,
            plain(str(line.get("units") or "")),
            "fail" if line.get("result") == "fail" else "pass",
            plain(str(line.get("message") or "")),
            line.get("low") is not None or line.get("high") is not None,
        )
        for line in case.measured
        if (size := finite(line.get("value"))) is not None
    ]


def measured_as_a_whole(case: Case) -> tuple[float, str] | None:
    """The number and unit that the result of a case is, if it is one."""
    values = dict(case.properties)
    size = finite(values.get("measurement"))
    return (size, plain(str(values.get("units") or ""))) if size is not None else None


def shown_cases(record: Record, *, live: bool) -> list[Case]:
    """All that are results; with ``live`` those that have ended, and will not become others."""
    return [case for case in results_of(record.cases) if not live or _has_ended(case)]


def log_limit(cases: int) -> int:
    """Characters for each log of so many."""
    return max(_LEAST, min(LOG_LIMIT, _ALL // max(1, cases)))


def case_log(case: Case, limit: int) -> str:
    """The end of what is known of a test, at most ``limit`` characters, none of them a control character."""
    verdict = case.verdict
    reports = [str(line.get("longrepr") or "") for line in case.lines if line["outcome"] == "failed"]
    reason = str((verdict.line or {}).get("wasxfail") or verdict.message)
    parts = [f"command: {case.command}" if case.command else ""]
    if verdict.outcome != "passed":
        parts.append(verdict.outcome if reason in reports else f"{verdict.outcome}: {reason}")
    parts += [*reports, *(f"---- {title} ----\n{text}" for title, text in case.sections)]
    parts += [str(verdict.error.get("evidence") or ""), kernel_traces(kernel_messages(case.lines))]
    text = plain("\n\n".join(part.strip("\n") for part in parts if part.strip()))
    return text if len(text) <= limit else tail(text, limit - _MARGIN)


def _has_ended(case: Case) -> bool:
    return (case.suite == LAVA and not case.command) or any(line["when"] in ("teardown", "???") for line in case.lines)
