"""Jobs in threads that nobody has to wait for: an interrupt ends the process though a download still runs."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future
from typing import Any, TypeVar

from pytest_lava.deadline import Deadline

__all__ = ["Parallel", "await_end"]

T = TypeVar("T")


class Parallel:
    """At most ``at_once`` jobs at a time; the others wait for their turn."""

    def __init__(self, at_once: int = 4) -> None:
        self._places = threading.Semaphore(at_once)

    def start(self, name: str, job: Callable[[], T]) -> Future[T]:
        """Run ``job``; what it returns or raises is the future's."""
        future: Future[T] = Future()

        def run() -> None:
            with self._places:
                try:
                    result = job()
                except BaseException as error:
                    future.set_exception(error)
                else:
                    future.set_result(result)

        threading.Thread(target=run, name=name, daemon=True).start()
        return future


def await_end(future: Future[Any]) -> None:
    """Wait for the end of a job, which has a limit of its own, however it ends."""
    while not futures.wait([future], Deadline(math.inf).at_one_go()).done:
        pass
