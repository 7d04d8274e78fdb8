"""What a user names when an image, a kernel or a package is asked for: a path or a URL, with what is known of it.

``PATH-OR-URL[#key=value[&key=value]]``; keys are a checksum (``sha256``, ``sha512``, ``md5``), ``sums`` (the name of a
file of checksums beside it, as ``sha256sum`` writes one), ``member`` (which file of an archive is meant) and
``partition`` (which one of a disk image is, counted from 1, what is added goes into).
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from pytest_lava.arguments import without_secret
from pytest_lava.errors import ConfigurationError

__all__ = ["ALGORITHMS", "Artefact", "Checksum", "local_path"]

#: checksum -> how many hexadecimal digits it has
ALGORITHMS = {"sha256": 64, "sha512": 128, "md5": 32}
_STRONGEST = ("sha512", "sha256", "md5")
_KEYS = (*ALGORITHMS, "sums", "member", "partition")
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")
_LINE = re.compile(r"([0-9a-fA-F]{32,128})[ \t]+[ *]?(.+)")
_BSD_LINE = re.compile(r"([\w-]+) ?\((.+)\) ?= ?([0-9a-fA-F]{32,128})")
_BARE = re.compile(r"\s*([0-9a-fA-F]{32,128})\s*")


@dataclass(frozen=True)
class Checksum:
    """``algorithm`` is one of :data:`ALGORITHMS`, ``value`` lower-case hexadecimal."""

    algorithm: str
    value: str

    def __str__(self) -> str:
        return f"{self.algorithm} {self.value}"


@dataclass(frozen=True)
class Artefact:
    """One file that a run needs. ``url`` is set for what comes over a network, else ``path``.

    ``text`` is what the user wrote, without the user and password of a URL. ``sums`` is the URL (or path) of a file of
    checksums in which its own is to be found.
    """

    text: str
    name: str
    url: str = field(default="", repr=False)  # with its password, which would be in a traceback
    path: Path | None = None
    checksum: Checksum | None = None
    sums: str = field(default="", repr=False)
    member: str = ""
    partition: int = 0

    def __str__(self) -> str:
        return self.text

    @classmethod
    def parse(cls, text: str, option: str = "") -> Artefact:
        """Read what a user wrote. ``ConfigurationError`` (beginning with ``option``) says what to change in it."""
        shown = without_secret(text)
        where = f"{f'{option} {shown}'.strip()}: "
        place, _, fragment = text.partition("#")
        if fragment and not _SCHEME.match(text) and local_path(text).exists():
            place, fragment = text, ""  # a file with a # in its name
        facts = _facts(fragment, where)
        checksum = _checksum(facts, where)
        if checksum and "sums" in facts:
            raise ConfigurationError(f"{where}give either a checksum or sums=, not both")
        scheme = match[1].lower() if (match := _SCHEME.match(place)) else ""
        member, partition = facts.get("member", ""), _partition(facts, where)
        if scheme in ("http", "https"):
            parts = urlsplit(place)
            name = unquote(parts.path).rsplit("/", 1)[-1]
            if not parts.hostname or not name:
                raise ConfigurationError(f"{where}this URL names no file; write {scheme}://HOST/PATH/FILE")
            sums = urljoin(place, facts["sums"]) if facts.get("sums") else ""
            return cls(shown, name, url=place, checksum=checksum, sums=sums, member=member, partition=partition)
        if scheme == "file":
            place = unquote(urlsplit(place).path)
        elif scheme:
            raise ConfigurationError(f"{where}{scheme}:// is unknown; write a path, file://, http:// or https://")
        if not place:
            raise ConfigurationError(f"{where}give a path or a URL")
        path = local_path(place).absolute()
        sums = str(path.parent / facts["sums"]) if facts.get("sums") else ""
        return cls(shown, path.name, path=path, checksum=checksum, sums=sums, member=member, partition=partition)

    @classmethod
    def of(cls, path: Path) -> Artefact:
        """A file of this machine that nobody had to name."""
        return cls(str(path), path.name, path=path)

    def checksum_in(self, sums: str) -> Checksum:
        """Its checksum in the text of a file of checksums: the strongest, where there are several kinds.

        ``ConfigurationError`` if that does not list it, or several of its name and none, or two, beside itself.
        """
        place = without_secret(self.sums)
        listed = [(name, found) for name, found in _listed(sums) if name.rsplit("/", 1)[-1] == self.name]
        if match := _BARE.fullmatch(sums):  # some servers have a file with nothing else for each of theirs
            listed = [(self.name, _of_that_length(match[1]))]
        beside = [found for name, found in listed if found and name == self.name]
        known = beside or [found for _, found in listed if found]
        best = next((kind for kind in _STRONGEST if any(found.algorithm == kind for found in known)), "")
        fitting = list(dict.fromkeys(found for found in known if found.algorithm == best))
        if len(fitting) > 1:
            raise ConfigurationError(
                f"{self.text}: {place} lists several files named {self.name}: give the {best} itself, as #{best}=..."
            )
        if not fitting:
            raise ConfigurationError(
                f"{self.text}: {place} lists no checksum of {self.name}; correct sums=, or leave it"
            )
        return fitting[0]


def _listed(sums: str) -> Iterator[tuple[str, Checksum | None]]:
    """Name and checksum, if it is of a kind that is known here, of each line."""
    for line in sums.splitlines():
        if match := _BSD_LINE.fullmatch(line.strip()):
            kind, name, value = match[1].lower().replace("-", ""), match[2], match[3]
            checksum = Checksum(kind, value.lower()) if ALGORITHMS.get(kind) == len(value) else None
        elif match := _LINE.fullmatch(line.strip()):
            name, checksum = match[2], _of_that_length(match[1])
        else:
            continue
        yield name.removeprefix("./"), checksum


def _of_that_length(value: str) -> Checksum | None:
    """A checksum of which nothing else is said."""
    return next((Checksum(name, value.lower()) for name, digits in ALGORITHMS.items() if digits == len(value)), None)


def local_path(text: str) -> Path:
    """As shells have it: ``./~`` is a file of that name, and so is ``~nobody`` where there is no such user."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - pathlib drops the ./ before it looks, and raises


def _facts(fragment: str, where: str) -> dict[str, str]:
    facts: dict[str, str] = {}
    for part in filter(None, fragment.split("&")):
        key, equals, value = part.partition("=")
        if key not in _KEYS or not (equals and value):
            near = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f"did you mean {near[0]}=?" if near else f"write one of {', '.join(f'{k}=' for k in _KEYS)}"
            raise ConfigurationError(f"{where}{part!r} behind the # is not understood; {hint}")
        facts[key] = unquote(value)
    return facts


def _partition(facts: dict[str, str], where: str) -> int:
    number = facts.get("partition", "0")
    if not number.isdecimal() or ("partition" in facts and int(number) == 0):
        raise ConfigurationError(f"{where}partition={number} is no number of a partition; write partition=1 or more")
    return int(number)


def _checksum(facts: dict[str, str], where: str) -> Checksum | None:
    given = [Checksum(key, value.lower()) for key, value in facts.items() if key in ALGORITHMS]
    for checksum in given:
        digits = ALGORITHMS[checksum.algorithm]
        if not re.fullmatch(f"[0-9a-f]{{{digits}}}", checksum.value):
            raise ConfigurationError(
                f"{where}{checksum.algorithm}={checksum.value} is no {checksum.algorithm} checksum, "
                f"which has {digits} hexadecimal digits"
            )
    if len(given) > 1:
        raise ConfigurationError(f"{where}one checksum is enough: keep the strongest")
    return given[0] if given else None
