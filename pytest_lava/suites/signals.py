"""LAVA's signals: lines that tests print for results, taken apart exactly; what is broken is no signal.

Our helpers put ``#LENGTH.SETS`` behind theirs: how many characters stand between the brackets, and how many signals
about test sets there were before. So one that lost a character, or that came after a lost one, is noticed at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pytest_lava.suites.api import RESULTS

__all__ = ["BadSignal", "Outcome", "Signal", "broken", "numbered", "outcome_of", "scan", "sealed"]

_SIGNAL = re.compile(r"<LAVA_SIGNAL_([A-Z]+)(?: ([^<>\x00-\x1f\x7f]*))?>(?:#(\d{1,5})\.(\d{1,9})(?!\d))?")
#: what is left of a signal, or of a broken one
_TRACES = ("LAVA_SIGNAL", "<LAVA_", "TEST_CASE_ID=", "_TESTCASE ", "_TESTSET ")
#: ``set -x`` shows commands like this, those that print a signal too; but another process may write into the line
_TRACED = re.compile(r"\++ \S*(?:echo|printf)\s")
_KINDS = {
    "STARTRUN", "ENDRUN", "STARTTC", "ENDTC", "TESTCASE", "TESTSET", "TESTREFERENCE", "TESTRAISE", "TESTEVENT",
    "TESTFEEDBACK",
}  # fmt: skip
_MOST = 64  # characters of a number


class BadSignal(ValueError):
    """A signal that says nothing that can be used; the message says why."""


@dataclass(frozen=True)
class Signal:
    """``kind`` is what follows ``LAVA_SIGNAL_``; ``sets`` counts signals about sets before it, where a helper told."""

    kind: str
    text: str
    sets: int | None = None
    #: whether nothing follows it in its line that does not belong there: else it may have been one of a helper
    alone: bool = True

    @property
    def words(self) -> list[str]:
        """Its parameters."""
        return self.text.split()

    @property
    def raw(self) -> str:
        """What makes two signals the same."""
        return f"{self.kind} {self.text}"


@dataclass(frozen=True)
class Outcome:
    """What a signal, or a line that a pattern matched, says of a case."""

    id: str
    result: str
    measurement: float | None = None
    units: str = ""
    #: why its measurement is none
    remark: str = ""
    reference: str = ""
    set_name: str | None = None
    message: str = ""
    #: of the command that a helper ran
    status: str = ""


def sealed(kind: str, text: str, sets: int = 0) -> str:
    """A signal as our helpers send it."""
    inner = f"LAVA_SIGNAL_{kind} {text}"
    return f"<{inner}>#{len(inner.encode())}.{sets}"


def scan(line: str) -> Iterator[Signal]:
    """The signals in a line that are whole."""
    if "<LAVA_SIGNAL_" not in line:
        return
    traced = _TRACED.match(line) is not None
    for found in _SIGNAL.finditer(line):
        kind, text, length, sets = found.groups()
        if kind not in _KINDS or (traced and length is None):
            continue
        whole = found[0].partition("#")[0] if length is None else found[0][: found[0].rindex("#")]
        if length is not None and int(length) != len(whole.encode()) - 2:
            continue  # it lost something on its way
        alone = line.startswith("<", found.end()) or not line[found.end() :].strip()
        yield Signal(kind, (text or "").strip(), None if sets is None else int(sets), alone)


def broken(line: str) -> bool:
    """Whether something in a line was once a signal, and is none."""
    if ("LAVA" not in line and "TEST" not in line) or _TRACED.match(line):
        return False
    return any(trace in line for trace in _TRACES) and not any(True for _ in scan(line))


def numbered(text: str) -> float | None:
    """A measurement, or None if it is no number that a bundle can hold."""
    try:
        value = float(text) if len(text) <= _MOST and "_" not in text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def outcome_of(signal: Signal, fixup: Mapping[str, str]) -> Outcome:
    """What a TESTCASE or TESTREFERENCE says. ``BadSignal`` if it says nothing that can be used."""
    if signal.kind == "TESTREFERENCE":
        if len(signal.words) != 3:
            raise BadSignal(f"a reference has a case, a result and a URL, and not {signal.text!r}")
        name, result, url = signal.words
        return Outcome(name, _result(result, fixup), reference=url)
    values: dict[str, str] = {}
    for word in signal.words:
        key, separator, value = word.partition("=")
        if not separator:
            raise BadSignal(f"{word!r} in {signal.text!r} is no KEY=VALUE")
        values[key.lower()] = value
    if not values.get("test_case_id"):
        raise BadSignal(f"there is no TEST_CASE_ID in {signal.text!r}")
    return outcome(values, fixup)


def outcome(values: Mapping[str, str | None], fixup: Mapping[str, str]) -> Outcome:
    """A case of its parts; one that was measured and has no result has passed, as LAVA's monitors have it."""
    told = values.get("measurement")
    measured = numbered(told) if told else None
    result = values.get("result")
    if result is None and told is None:
        raise BadSignal(f"there is no RESULT for {values.get('test_case_id')!r}")
    return Outcome(
        id=str(values["test_case_id"]),
        result="pass" if result is None else _result(result, fixup),
        measurement=measured,
        units=str(values.get("units") or ""),
        remark=f"its measurement {told!r} is no number" if told and measured is None else "",
        set_name=values.get("test_set_id"),
        message=str(values.get("message") or ""),
        status=str(values.get("status") or ""),
    )


def _result(word: str, fixup: Mapping[str, str]) -> str:
    result = fixup.get(word, word)
    if result not in RESULTS:
        raise BadSignal(f"{word!r} is no result: it is one of {', '.join(RESULTS)}")
    return result
