"""The end of a run that was shown while it went on: nothing of that stays in its folder, whatever is in progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.faultserver import fault_proxy
from support.squadserver import squad_server
from support.widerun import wide_run

from pytest_lava.sinks.live import LiveFeed
from pytest_lava.sinks.secrets import FoundSecrets
from pytest_lava.sinks.squad import SquadSink


@pytest.mark.parametrize("plan", [("hang",), ("good", "hang"), ("refuse",), ()])
def test_nothing_is_left_in_the_run_folder(tmp_path: Path, plan: tuple[str, ...]) -> None:
    """Also where the server does not answer to the look, or to the testrun itself."""
    results = wide_run(tmp_path / "run", tests=50)
    with squad_server() as (server, place), fault_proxy(("127.0.0.1", server.server_port), *plan) as proxy:
        secrets = FoundSecrets({"PYTEST_LAVA_TOKEN_LAB": place.token}, home=tmp_path, keyring=False)
        sink = SquadSink("lab", SquadSink.Options(url=proxy.url("/lab/board")), secrets)
        feed = LiveFeed("lab", sink, results)
        feed.begin()
        _until(lambda: len(proxy.met) >= max(1, len(plan)))
        begin = time.monotonic()
        feed.end()
        assert time.monotonic() - begin < 1
        assert not list(results.folder.glob(".live*"))
        proxy.close()  # what hangs ends now
        _until(lambda: not any(thread.name == "lava live lab" for thread in threading.enumerate()))
        assert not list(results.folder.glob(".live*"))


def _until(done: Callable[[], bool]) -> None:
    tick, until = threading.Event(), time.monotonic() + 20
    while not done():
        assert time.monotonic() < until
        tick.wait(0.01)
