"""``--submit-live``: sinks that can do so show the run while it goes on; at its end the results take their place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_lava.errors import ConfigurationError
from pytest_lava.sinks.api import Results
from pytest_lava.sinks.live import LiveFeed, LiveSink, Shown

if TYPE_CHECKING:
    from pytest_lava.plugin.run import Run
    from pytest_lava.sinks.choosing import SinkChoice

__all__ = ["LiveSubmission", "check_live"]


def check_live(config: pytest.Config, choices: Sequence[SinkChoice]) -> None:
    """``ConfigurationError`` if there is nobody to show it to."""
    if config.option.lava_submit_live and not any(isinstance(choice.sink, LiveSink) for choice in choices):
        raise ConfigurationError("--submit-live needs a sink that can show results early: --submit to SQUAD or KCIDB")


class LiveSubmission:
    """Begins with the first test, and ends before anything is submitted."""

    def __init__(self, run: Run, choices: Sequence[SinkChoice]) -> None:
        self._run = run
        self._choices = choices
        self._feeds: list[LiveFeed] = []
        self._shown: dict[str, Shown] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        """Begin."""
        run = self._run
        if not run.runs_tests or run.config.option.lava_offline or self._feeds:
            return
        results = Results(run.uuid, run.folder, run.plan.bundle)
        for choice in self._choices:
            if isinstance(choice.sink, LiveSink):
                self._feeds.append(LiveFeed(choice.name, choice.sink, results))
        for feed in self._feeds:
            feed.begin()

    def pytest_keyboard_interrupt(self) -> None:
        """The end has begun."""
        self._end()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """End, and tell the event log."""
        self._end()
        for name, shown in self._shown.items():
            failed = f", {shown.failed} times in vain: {shown.reason}" if shown.failed else ""
            self._run.events.emit(f"{name}: shown {shown.tries} times while the run went on{failed}")

    def pytest_unconfigure(self) -> None:
        """Whatever happened."""
        self._end()

    def told(self) -> Iterator[tuple[str, str]]:
        """A line for each sink that could not be shown the run every time."""
        for name, shown in self._shown.items():
            if shown.failed:
                yield "live", f"{name}: failed {shown.failed} of {shown.tries} times, the last time: {shown.reason}"

    def _end(self) -> None:
        self._shown |= {feed.name: feed.end() for feed in self._feeds}
