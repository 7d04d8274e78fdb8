"""A board's own package traffic through the lab's caching proxy: what its shell is told."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from urllib.parse import urlsplit

from pydantic import ValidationError

from pytest_lava.config.boards import BoardConfig
from pytest_lava.config.model import Proxy
from pytest_lava.errors import ConfigurationError

__all__ = ["with_proxy"]

_NONE = "none"  # as --package-proxy=
_DIRECT = "localhost,127.0.0.1"


def with_proxy(board: BoardConfig, option: str | None) -> BoardConfig:
    """The board with its proxy, or the one of ``--package-proxy``, in the environment of its shell.

    That is all: apt, opkg, pip, wget, curl and git look there, and nothing of it outlives the shell on a board that
    keeps its disk. ``ConfigurationError`` for an address that the board cannot reach.
    """
    url = _given(option) if option else board.model.proxy.url
    if url is None:
        return board
    proxy = _as_seen(url, board, "--package-proxy" if option else "[proxy] url")
    login, up = board.model.login, board.model.transfer.up
    # what is meant for this machine goes there by itself
    direct = ",".join(filter(None, [_DIRECT, board.model.transfer.address]))
    # both spellings: curl reads the small one only, others the large one
    told = {"http_proxy": proxy, "HTTP_PROXY": proxy, "no_proxy": direct, **login.environment}
    commands = (up, *login.commands) if up else login.commands
    login = login.model_copy(update={"environment": told, "commands": commands})
    return replace(board, model=board.model.model_copy(update={"login": login}))


def _given(option: str) -> str | None:
    if option == _NONE:
        return None
    try:
        return Proxy(url=option).url
    except ValidationError:
        raise ConfigurationError(f"--package-proxy {option}: write http://HOST:PORT, or none") from None


def _as_seen(url: str, board: BoardConfig, what: str) -> str:
    """``url`` with this machine's name for itself replaced by the board's name for it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not _is_loopback(host) or board.model.console.url.startswith("exec:"):
        return url.rstrip("/")
    address = board.model.transfer.address
    if address is None:
        raise ConfigurationError(
            f"{what} {url} is this machine for itself, which board {board.name!r} cannot reach: name it as the board "
            f"sees it, or set [transfer] address in {board.path}"
        )
    user = parts.netloc.rpartition("@")
    return f"http://{user[0]}{user[1]}{address}:{parts.port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
