"""A network that loses, doubles and delays packets: a UDP relay in front of a server."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Fate", "lossy"]

#: of the packet of that number (from 1) in one direction: how many times it arrives
Fate = Callable[[int], int]


@contextmanager
def lossy(port: int, *, to_server: Fate = lambda n: 1, to_client: Fate = lambda n: 1) -> Iterator[int]:
    """The port on 127.0.0.1 that leads one client at a time to ``port``."""
    near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    near.bind(("127.0.0.1", 0))
    far.connect(("127.0.0.1", port))
    clients: list[tuple[str, int]] = []

    def there() -> None:
        count = 0
        while packet := receive(near):
            data, client = packet
            clients[:] = [client]
            count += 1
            for _ in range(to_server(count)):
                far.send(data)

    def back() -> None:
        count = 0
        while packet := receive(far):
            count += 1
            for _ in range(to_client(count)):
                near.sendto(packet[0], clients[0])

    threads = [threading.Thread(target=there), threading.Thread(target=back)]
    for thread in threads:
        thread.start()
    try:
        yield near.getsockname()[1]
    finally:
        for sock in (near, far):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RD)  # wakes who waits there
        for thread in threads:
            thread.join()
        near.close()
        far.close()


def receive(sock: socket.socket) -> tuple[bytes, tuple[str, int]] | None:
    try:
        data, client = sock.recvfrom(70000)
    except OSError:
        return None
    return (data, client) if data else None
