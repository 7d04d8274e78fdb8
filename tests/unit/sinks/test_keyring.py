"""Secrets out of a real keyring (the package ``keyring``), put there as a user does it: by its own command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.finishedrun import finished_run
from support.receiver import receiver

SECRET = "ring-s3cret/+%"
_BIN = Path(sys.executable).parent


def command(folder: Path, *words: object, given: str = "", backend: str = "keyrings.alt.file.PlaintextKeyring") -> str:
    """What it said: one of ours, or ``keyring`` itself, with a keyring that is a file in ``folder``."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_DATA_HOME": str(folder / "data"),
           "PYTHON_KEYRING_BACKEND": backend}  # fmt: skip
    argv = [str(_BIN / str(words[0])), *map(str, words[1:])]
    done = subprocess.run(
        argv, cwd=folder, env=env, input=given, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


def test_a_secret_of_the_keyring_signs_and_is_hidden(tmp_path: Path) -> None:
    results = finished_run(tmp_path / "run")
    with receiver(tmp_path / "server", SECRET) as server:
        (tmp_path / "pytest-lava.toml").write_text(f'[sinks.hook]\nkind = "http"\nurl = "{server.url()}"\n')
        submit = "pytest-lava", "submit", "run", "--to", "hook", "--lava-spool", tmp_path / "spool"
        said = command(tmp_path, *submit)
        assert "the signature is wrong" in said  # it has none yet
        assert command(tmp_path, "keyring", "set", "pytest-lava", "hook", given=SECRET) == ""
        assert command(tmp_path, *submit).startswith("sent ")
        assert server.stored == {results.uuid: results.bundle.read_bytes()}
        server.says = 500, f"I got {SECRET}".encode()
        again = finished_run(tmp_path / "again")
        said = command(tmp_path, "pytest-lava", "submit", "again", *submit[3:], "--wait", "1s")
        assert "I got [hidden]" in said
    spool = b"".join(path.read_bytes() for path in (tmp_path / "spool").rglob("*") if path.is_file())
    assert SECRET.encode() not in spool
    assert again.uuid.encode() in spool


def test_a_keyring_that_is_locked_or_broken_stops_nothing(tmp_path: Path) -> None:
    """No bus, no display, a back end that is not there: there is no secret, and that is all."""
    results = finished_run(tmp_path / "run")
    with receiver(tmp_path / "server") as server:
        for number, backend in enumerate(("keyring.backends.fail.Keyring", "not.there.Keyring")):
            words = "submit", "run", "--to", server.url(f"/{number}"), "--lava-spool", tmp_path / "spool"
            assert command(tmp_path, "pytest-lava", *words, backend=backend).startswith("sent ")
        assert list(server.stored) == [results.uuid]
