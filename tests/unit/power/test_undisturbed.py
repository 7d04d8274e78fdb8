from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from pytest_lava.power._process import undisturbed


class Told(Exception):
    """By the handler of this test."""


@pytest.fixture
def handler() -> Iterator[None]:
    def tell(number: int, frame: object) -> None:
        raise Told(signal.Signals(number).name)

    before = signal.signal(signal.SIGTERM, tell)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("handler")
def test_a_signal_is_acted_on_afterwards() -> None:
    done = []

    def start() -> None:
        with undisturbed():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
            done.append("started")

    with pytest.raises(Told, match="SIGTERM"):
        start()
    assert done == ["started"]
    with pytest.raises(Told):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.usefixtures("handler")
def test_without_one_nothing_happens() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with undisturbed():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_other_threads_have_no_signals() -> None:
    entered = []

    def enter() -> None:
        with undisturbed():
            entered.append(1)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [1]
