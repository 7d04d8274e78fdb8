from __future__ import annotations

import threading
import time

from pytest_lava.plugin.boards.limit import Limit


def waits(limit: Limit) -> tuple[threading.Thread, list[tuple[bool, float]]]:
    """A thread that waits for its end; what came of it, and after which time."""
    found: list[tuple[bool, float]] = []
    began = time.monotonic()
    thread = threading.Thread(target=lambda: found.append((limit.expires(), time.monotonic() - began)), daemon=True)
    thread.start()
    return thread, found


def test_it_expires() -> None:
    thread, found = waits(Limit(0.1))
    thread.join(5)
    ((expired, seconds),) = found
    assert expired
    assert 0.1 <= seconds < 2


def test_what_stops_it_does_not_count() -> None:
    limit = Limit(0.2)
    thread, found = waits(limit)
    for _ in range(3):
        limit.stop()
        limit.stop()  # one in the other, as a reboot calls for a shell
        time.sleep(0.1)
        limit.go_on()
        assert limit.stopped
        time.sleep(0.1)
        limit.go_on()
    assert found == []
    thread.join(5)
    assert [expired for expired, _ in found] == [True]


def test_one_that_was_cancelled_does_not_expire() -> None:
    limit = Limit(600)
    thread, found = waits(limit)
    limit.cancel()
    thread.join(5)
    assert [expired for expired, _ in found] == [False]
    acted: list[int] = []
    limit.while_it_runs(lambda: acted.append(1))
    assert acted == []


def test_nothing_acts_while_it_is_stopped() -> None:
    limit, acted = Limit(0.0), threading.Event()
    limit.stop()
    thread = threading.Thread(target=limit.while_it_runs, args=(acted.set,))
    thread.start()
    assert not acted.wait(0.2)
    limit.go_on()
    thread.join(5)
    assert acted.is_set()


def test_it_settles_when_it_is_cancelled() -> None:
    limit = Limit(0.0)
    timer = threading.Timer(0.5, limit.cancel)
    timer.start()
    assert limit.settles(0.2, lambda: True, at_most=60)
    timer.join()


def test_it_does_not_settle_when_nothing_goes_on_or_it_takes_too_long() -> None:
    limit = Limit(0.0)
    began = time.monotonic()
    assert not limit.settles(0.1, lambda: False, at_most=60)
    assert not limit.settles(0.1, lambda: True, at_most=0.3)
    assert 0.4 <= time.monotonic() - began < 5
