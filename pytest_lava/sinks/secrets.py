"""Tokens and passwords of sinks: where they come from, and the one place that masks them in whatever is written.

In order: given in a URL of this run, the environment (``PYTEST_LAVA_TOKEN_<NAME>``), the keyring (service
``pytest-lava``), ``netrc``.
"""

from __future__ import annotations

import base64
import netrc
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

__all__ = ["PREFIX", "FoundSecrets", "variable"]

#: how variables of the environment begin that hold secrets
PREFIX = "PYTEST_LAVA_TOKEN_"
_MASK = "[hidden]"  # without angle brackets, as these are taken out of pages
_SHORT = 4  # characters; masking less would blacken ordinary text, and hide nothing


def variable(name: str) -> str:
    """The variable of the environment that holds the secret of the sink ``name``."""
    return PREFIX + re.sub(r"[^A-Z0-9]", "_", name.upper())


class FoundSecrets:
    """Finds secrets, and knows from then on what has to be masked."""

    def __init__(self, environ: Mapping[str, str], *, home: Path | None = None, keyring: bool = True) -> None:
        self._environ = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
        self._netrc = environ.get("NETRC", "")
        self._home = home or Path.home()
        self._keyring = keyring
        self._given: dict[str, str] = {}
        self._hidden: dict[str, None] = {}
        for value in self._environ.values():
            self._hide(value)

    def give(self, name: str, secret: str) -> None:
        """The secret that stood in the URL of the sink ``name``. It is kept in this process only."""
        self._given[name] = secret
        self._hide(secret)

    def get(self, name: str, host: str) -> str:
        """The secret of the sink ``name``, or of ``host`` (keyring, netrc); empty if there is none."""
        found = (
            self._given.get(name)
            or self._environ.get(variable(name), "").strip()
            or self._of_keyring(name)
            or self._of_netrc(host)
        )
        self._hide(found)
        return found

    def mask(self, text: str) -> str:
        """``text`` without any secret that was found so far, in the spellings that servers and programs echo."""
        for secret in sorted(self._hidden, key=len, reverse=True):
            text = text.replace(secret, _MASK)
        return text

    def _hide(self, secret: str) -> None:
        for part in (secret, secret.partition(":")[2]):  # USER:TOKEN: a server may echo the token alone
            if len(part) >= _SHORT:
                for spelling in (part, quote(part, safe=""), quote_plus(part), repr(part)[1:-1], *_encoded(part)):
                    self._hidden[spelling] = None

    def _of_keyring(self, name: str) -> str:
        if not self._keyring:
            return ""
        try:
            import keyring  # type: ignore[import-not-found,unused-ignore]

            return str(keyring.get_password("pytest-lava", name) or "")
        except Exception:  # it is optional, and its back ends raise whatever they like: no bus, locked, no display
            return ""

    def _of_netrc(self, host: str) -> str:
        if not host:
            return ""
        for path in [Path(self._netrc)] if self._netrc else [self._home / ".netrc", self._home / "_netrc"]:
            try:
                found = netrc.netrc(path).authenticators(host)
            except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
                continue
            return found[2] or "" if found else ""
        return ""


def _encoded(secret: str) -> list[str]:
    """``secret`` as it shows in base64, whatever stands before it: as in ``Authorization: Basic`` with any user."""
    data = secret.encode()
    found = []
    for before in range(3):
        text = base64.b64encode(bytes(before) + data).decode()
        # only the characters that are made of bits of the secret alone
        found.append(text[-(-before * 8 // 6) : (before + len(data)) * 8 // 6])
    return [text for text in found if len(text) >= _SHORT]
