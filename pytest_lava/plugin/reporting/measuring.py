"""The fixture ``record_measurement``: numbers of Python tests, each a result of its own, within bounds or not.

A test goes on behind a number that is out of its bounds, so that the others are there too, and fails at its end.
"""

from __future__ import annotations

import math
import numbers
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from pytest_lava.plugin.collecting.collection import target_of
from pytest_lava.plugin.run import Run
from pytest_lava.suites.own_judging import bounds

__all__ = ["RecordMeasurement", "measuring", "shown_measurements"]

_PREFIX = "measurement."
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,100}")
_PLUGIN = "lava-measuring"


@dataclass
class _Measured:
    """What an item measured so far: how often each name was used, and what is out of its bounds."""

    names: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)


_MEASURED = pytest.StashKey[_Measured]()


class RecordMeasurement:
    """Records a number of the test that has it as a fixture.

    ::

        def test_boot(board, record_measurement):
            board.reboot()
            record_measurement("time-to-shell", board.boot_seconds, "s", high=20)
    """

    def __init__(self, item: pytest.Item) -> None:
        self._item = item

    def __repr__(self) -> str:
        return f"<record_measurement of {self._item.name}>"

    def __call__(
        self, name: str, value: float | Decimal, units: str = "", *, low: float | None = None, high: float | None = None
    ) -> bool:
        """Record it, and return whether it is within its bounds, which belong to them.

        If it is not, the test goes on and fails at its end. A name that is used again gets ``#2``. ``TypeError`` for
        what is no number, ``ValueError`` for one that is not finite, a name with control characters, low above high.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"the name of a measurement is a text of 1 to 100 characters in one line, got {name!r}")
        number = _finite(value, f"the measurement {name!r}")
        low = None if low is None else _finite(low, "low")
        high = None if high is None else _finite(high, "high")
        if low is not None and high is not None and low > high:
            raise ValueError(f"the measurement {name!r} can never be within its bounds: low {low:g} is above {high:g}")
        measured = self._item.stash[_MEASURED]
        measured.names[name] += 1
        if measured.names[name] > 1:
            name = f"{name}#{measured.names[name]}"
        complaint = bounds(number, str(units), low, high)
        if complaint:
            measured.complaints.append(f"{name}: {complaint}")
        self._note({"name": name, "value": number, "units": str(units), "low": low, "high": high}, complaint)
        return not complaint

    def _note(self, told: dict[str, Any], complaint: str) -> None:
        """Into the journal now, so that a test that dies keeps it; and onto the report, for other plugins."""
        item, name = self._item, told["name"]
        item.user_properties.append((f"{_PREFIX}{name}", told["value"]))
        item.user_properties += [
            (f"{key}.{name}", told[key]) for key in ("units", "low", "high") if told[key] not in (None, "")
        ]
        run, target = item.config.stash.get(Run.key, None), target_of(item)
        if run is not None and run.journal is not None:
            run.journal.write(
                "measurement",
                nodeid=item.nodeid,
                target=target.id if target else "",
                **told,
                result="fail" if complaint else "pass",
                message=complaint,
            )


def measuring(item: pytest.Item) -> RecordMeasurement:
    """The fixture's value. What fails tests at their end is there from its first use on."""
    manager = item.config.pluginmanager
    if not manager.hasplugin(_PLUGIN):
        manager.register(_Bounds(), _PLUGIN)
    item.stash[_MEASURED] = _Measured()
    return RecordMeasurement(item)


class _Bounds:
    """Fails a test that passed, if a number of it is out of its bounds."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """The test's own failure comes first."""
        yield
        measured = item.stash.get(_MEASURED, None)
        if measured is not None and measured.complaints:
            complaints, measured.complaints = measured.complaints, []
            pytest.fail("\n".join(complaints), pytrace=False)


def shown_measurements(properties: Sequence[tuple[str, object]]) -> list[str]:
    """The measurements among a report's properties, a sentence each: of a case of a suite, or of a Python test."""
    told = dict(properties)
    found = [_shown("", told, "measurement", "")] if "measurement" in told else []
    names = [name.removeprefix(_PREFIX) for name in told if name.startswith(_PREFIX) and name != f"{_PREFIX}bad"]
    return [*found, *(_shown(f"{name}: ", told, f"{_PREFIX}{name}", f".{name}") for name in names)]


def _shown(before: str, told: dict[str, object], key: str, end: str) -> str:
    low, high = told.get(f"low{end}"), told.get(f"high{end}")
    limits = [f"{text} {_short(value)}" for text, value in (("at least", low), ("at most", high)) if value is not None]
    text = f"{before}{_short(told[key])} {told.get(f'units{end}', '')}".rstrip()
    return f"{text} ({', '.join(limits)})" if limits else text


def _short(value: object) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _finite(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (numbers.Real, Decimal)):
        raise TypeError(f"{what} has to be a number, got {value!r}")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{what} has to be finite, got {value!r}")
    return number
