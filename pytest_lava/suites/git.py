"""Runs git for what a definition or a job wants, and tells a network that fails from a repository that is not there."""

from __future__ import annotations

import re
import shutil
import signal
import threading
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from pytest_lava.arguments import without_secret
from pytest_lava.deadline import Deadline
from pytest_lava.errors import FetchFailed, NetworkError, ToolMissing
from pytest_lava.programs import run

__all__ = ["git"]

_LIMIT = 600.0  # seconds for one command with all its tries
_PAUSES = (1.0, 3.0)  # seconds before another try, where the network failed
# git's connect.c, http.c and fetch-pack.c; the words of curl, OpenSSL, GnuTLS and ssh
_NETWORK = re.compile(
    r"unable to (?:look up|connect to)|[Cc]ould not resolve|[Cc]onnection (?:refused|reset|timed out|closed|died)|"
    r"timed out|[Nn]etwork is (?:unreachable|down)|[Nn]o route to host|[Ff]ailed to connect|[Cc]ouldn't connect|"
    r"early EOF|unexpected disconnect|RPC failed|returned error: (?:5\d\d|408|429)|SSL_(?:ERROR_SYSCALL|read)|"
    r"[Tt]emporary failure in name resolution|TLS connection was non-properly terminated|Empty reply from server"
)
_WHOLE_ONLY = "dumb http transport does not support shallow"


def git(*arguments: str, url: str, folder: Path, what: str) -> None:
    """Run it in ``folder``, and again where the network failed. ``what`` is for messages: ``a repository of the job``.

    Plain web servers hand out no part of a history: from those all is taken in spite of ``--depth=1``.
    ``NetworkError`` if the network failed each time, ``FetchFailed`` for anything else, ``ToolMissing``.
    """
    if shutil.which("git") is None:
        raise ToolMissing(f"git is needed to clone {what}: install it (Debian: apt-get install git)")
    deadline, pauses = Deadline.after(_LIMIT), iter(_PAUSES)
    while said := _complaint(arguments, folder, deadline):
        text = "\n".join(said)
        if _WHOLE_ONLY in text and "--depth=1" in arguments:
            arguments = tuple(one for one in arguments if one != "--depth=1")
            continue
        broken, pause = _NETWORK.search(text), next(pauses, None)
        if not broken or pause is None or deadline.remaining() <= pause:
            kind = NetworkError if broken else FetchFailed
            raise kind(without_secret(f"{what} cannot be cloned: {url}: {_why(said)}"))
        threading.Event().wait(pause)


def _complaint(arguments: Sequence[str], folder: Path, deadline: Deadline) -> list[str]:
    """Run it once: what it said if it failed, else nothing."""
    result = run(["git", *arguments], deadline, cwd=folder, more={"GIT_TERMINAL_PROMPT": "0"}, purpose="to clone")
    if not result.returncode:
        return []
    if result.returncode == -signal.SIGPIPE:  # it was writing to a connection that had gone, and says nothing
        return ["fatal: Connection reset"]
    said = (result.stderr or result.stdout).decode(errors="replace").strip()
    return said.splitlines() or [f"git returned {result.returncode}"]


def _why(said: Sequence[str]) -> str:
    """One line: its first ``fatal:``, as advice of several lines may follow; else its last line."""
    for line, behind in pairwise([*said, ""]):
        if line.startswith(("fatal: ", "error: ")):
            why = line.partition(": ")[2]
            return f"{why} {behind}".rstrip() if why.endswith(":") else why  # unable to connect to HOST: + the reason
    return said[-1]
