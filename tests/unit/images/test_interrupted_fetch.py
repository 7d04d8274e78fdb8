"""A download that is interrupted ends at once, also while its server says nothing."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.torture import count, seed

STEP = Path(__file__).with_name("step.py")
HALF = b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 2000000\r\n\r\n' + bytes(1_000_000)


@pytest.fixture
def half() -> Iterator[tuple[str, threading.Semaphore]]:
    """A server that sends half of a file and then nothing; its URL, and what counts the halves."""
    listener, sent, lines = socket.create_server(("127.0.0.1", 0)), threading.Semaphore(0), []

    def serve() -> None:
        with suppress(OSError):
            while True:
                line, _ = listener.accept()
                lines.append(line)
                with suppress(OSError):
                    line.recv(65536)
                    line.sendall(HALF)
                sent.release()

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/half", sent
    listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    listener.close()
    for line in lines:
        line.close()


def test_at_any_moment(tmp_path: Path, half: tuple[str, threading.Semaphore]) -> None:
    url, sent = half
    dice, took = random.Random(seed()), []
    for number in range(count(50)):
        command = [sys.executable, str(STEP), "fetch", str(tmp_path / f"cache-{number}"), url, str(tmp_path)]
        environ = {**os.environ, "no_proxy": "127.0.0.1"}
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout
            assert process.stdout.readline() == b"begins\n"
            if number % 2:
                assert sent.acquire(timeout=30)
            time.sleep(dice.uniform(0, 0.3))
            begin = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert process.wait(30) in (-signal.SIGINT, 128 + signal.SIGINT, 1), process.stdout.read()
            took.append(time.monotonic() - begin)
    print(f"{len(took)} signals, the slowest {max(took):.2f} s")
    assert max(took) < 5  # it would wait for a silent server for 60 s
