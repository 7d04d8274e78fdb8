"""A real SQUAD server 1.98 (``scripts/setup-squad``) on loopback, with a database of its own; ended with the block."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from support.squads import SquadPlace

__all__ = ["real_squad"]

_ROOT = Path(__file__).resolve().parents[2]
_VENV = _ROOT / ".squad-venv"


@contextmanager
def real_squad(folder: Path) -> Iterator[SquadPlace]:
    """It, its files in ``folder``: one worker, as SQLite takes one writer; without celery all is done at once."""
    subprocess.run([_ROOT / "scripts" / "setup-squad"], check=True, timeout=600)  # at once, if it was done before
    shutil.copy(_VENV / "template" / "db.sqlite3", folder / "db.sqlite3")
    token = (_VENV / "template" / "token").read_text().split()[-1]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "XDG_DATA_HOME": str(folder), "ENV": "production",
        "DATABASE": f"ENGINE=django.db.backends.sqlite3:NAME={folder / 'db.sqlite3'}", "SECRET_KEY": "not-secret",
        "SQUAD_STORAGE_DIR": str(folder / "storage"), "SQUAD_STATIC_DIR": str(folder / "static"),
        "SQUAD_BASE_URL": url, "SQUAD_HOSTNAME": "127.0.0.1", "SQUAD_EXTRA_SETTINGS": str(_VENV / "extra.py"),
    }  # fmt: skip
    command = [_VENV / "bin" / "squad", "--fast", "--bind", f"127.0.0.1:{port}", "--workers", "1", "--timeout", "240",
               "--no-control-socket"]  # fmt: skip
    with (folder / "squad.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait(url, server, folder / "squad.log")
        yield SquadPlace(url, token, server=server.pid)
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, 9)
            server.wait()


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 90
    while True:
        try:
            if requests.get(f"{url}/api/", timeout=60).status_code == 200:
                return
        except requests.ConnectionError:
            pass
        dead = server.poll() is not None or time.monotonic() > until
        assert not dead, f"SQUAD does not start: {log.read_text()[-2000:]}"
        time.sleep(0.1)
