"""LAVA's test definitions: read, checked, and turned into what runs on the board."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_lava.errors import ConfigurationError
from pytest_lava.suites.yamlfile import YamlFile

__all__ = ["Definition", "Pattern", "Repository", "assignments", "is_definition", "take_definition"]

_FORMATS = ("Lava-Test Test Definition 1.0", "Lava-Test-Shell Test Definition 1.0")
_NAME = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
#: as LAVA has it, if a pattern comes without one
_FIXUP = {"PASS": "pass", "FAIL": "fail", "SKIP": "skip", "UNKNOWN": "unknown"}
_GROUPS = ("test_case_id", "result", "measurement", "units", "test_set_id", "message")


@dataclass(frozen=True)
class Pattern:
    """What else than signals is a result: a line that ``regex`` matches."""

    regex: re.Pattern[str]
    fixup: Mapping[str, str]


@dataclass(frozen=True)
class Repository:
    """One that ``install: git-repos`` names."""

    url: str
    branch: str = ""
    destination: str = ""


@dataclass(frozen=True)
class Definition:
    """A definition, valid. ``deps`` are for every distribution, ``distro_deps`` for one each.

    ``root`` is that of its repository, where it is known. One that stands within another file has its ``text``, and
    nothing beside it belongs to it.
    """

    name: str
    path: Path
    steps: tuple[str, ...]
    params: Mapping[str, str] = field(default_factory=dict)
    deps: tuple[str, ...] = ()
    distro_deps: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    install_steps: tuple[str, ...] = ()
    repositories: tuple[Repository, ...] = ()
    pattern: Pattern | None = None
    fixup: Mapping[str, str] = field(default_factory=lambda: dict(_FIXUP))
    expected: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    root: Path | None = None
    text: str | None = None

    @property
    def installs(self) -> bool:
        """Whether anything is to be done before the run."""
        return bool(self.deps or any(self.distro_deps.values()) or self.keys or self.sources or self.install_steps)

    def with_params(self, params: Mapping[str, str]) -> Mapping[str, str]:
        """Its own, and what somebody wants instead; that may name more than it has, as in LAVA."""
        return {**self.params, **params}


def is_definition(data: object) -> bool:
    """Whether YAML is meant to be one: by its format, or as it has steps to run."""
    if not isinstance(data, dict):
        return False
    metadata, run = data.get("metadata"), data.get("run")
    named = isinstance(metadata, dict) and str(metadata.get("format") or "").startswith("Lava-Test")
    return named or (isinstance(metadata, dict) and isinstance(run, dict) and "steps" in run)


def take_definition(file: YamlFile) -> Definition:
    """The definition in a file that is meant to be one. ``ConfigurationError`` with its line for what is wrong."""
    return _Reader(file).definition()


class _Reader:
    """Takes one file apart."""

    def __init__(self, file: YamlFile) -> None:
        self._file = file
        self._data: dict[str, Any] = file.data

    def definition(self) -> Definition:
        metadata = self._mapping("metadata")
        form = str(metadata.get("format") or _FORMATS[0]).strip()
        if form not in _FORMATS:
            raise self._file.wrong(f"the format {form!r} is not known: it is {_FORMATS[0]!r}", "metadata", "format")
        run = self._mapping("run")
        if "steps" not in run:  # no steps are legal, and nobody else knows what is meant
            raise self._file.wrong("it has nothing to run: add 'run: steps:' with commands", "run")
        if str(metadata.get("name") or self._file.path.stem).strip() == "lava":
            raise self._file.wrong(
                "the name 'lava' is that of results about the run: choose another", "metadata", "name"
            )
        install = self._mapping("install")
        if "bzr-repos" in install:
            raise self._file.wrong(
                "bzr repositories are not fetched: put their files beside it", "install", "bzr-repos"
            )
        pattern, fixup = self._pattern()
        return Definition(
            name=str(metadata.get("name") or self._file.path.stem).strip(),
            path=self._file.path,
            steps=self._texts("run", "steps"),
            params=self._params(),
            deps=self._texts("install", "deps"),
            distro_deps={
                str(key).removeprefix("deps-"): self._texts("install", key)
                for key in install
                if str(key).startswith("deps-")
            },
            keys=self._texts("install", "keys"),
            sources=self._texts("install", "sources"),
            install_steps=self._texts("install", "steps"),
            repositories=self._repositories(install),
            pattern=pattern,
            fixup=fixup,
            expected=self._texts("expected") or self._texts("run", "expected"),
            metadata={**{str(name): _joined(value) for name, value in metadata.items()}, "format": form},
        )

    def _mapping(self, *keys: str) -> dict[str, Any]:
        value = self._value(*keys)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self._file.wrong(f"'{': '.join(keys)}' has to be a mapping of keys to values", *keys)
        return value

    def _value(self, *keys: object) -> Any:
        value: Any = self._data
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def _texts(self, *keys: object) -> tuple[str, ...]:
        """A list of texts; a single one is a list of one."""
        value = self._value(*keys)
        if value is None:
            return ()
        if isinstance(value, (str, int, float)):
            return (_text(value),)
        if not isinstance(value, list):
            raise self._file.wrong(f"'{': '.join(map(str, keys))}' has to be a list", *keys)
        for number, one in enumerate(value):
            if isinstance(one, (dict, list)):
                raise self._file.wrong(
                    f"entry {number + 1} of '{': '.join(map(str, keys))}' is no text: put it into quotes, as ': ' and "
                    "'[' have a meaning in YAML",
                    *keys, number,
                )  # fmt: skip
        return tuple(_command(one) for one in value if one is not None)

    def _params(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for key in ("params", "parameters"):
            for name, value in self._mapping(key).items():
                if not _NAME.match(str(name)):
                    raise self._file.wrong(f"the parameter {str(name)!r} is no name of a shell variable", key, name)
                found[str(name)] = _text(value)
        return found

    def _repositories(self, install: Mapping[str, Any]) -> tuple[Repository, ...]:
        found = []
        named = install.get("git-repos") or ()
        if isinstance(named, str):
            named = [named]
        if not isinstance(named, (list, tuple)):
            raise self._file.wrong("'install: git-repos' has to be a list", "install", "git-repos")
        for number, one in enumerate(named):
            if isinstance(one, str):
                found.append(Repository(one))
            elif isinstance(one, dict) and one.get("url"):
                found.append(Repository(*(str(one.get(key) or "") for key in ("url", "branch", "destination"))))
            else:
                raise self._file.wrong("a git repository is a URL, or has a key 'url'", "install", "git-repos", number)
        return tuple(found)

    def _pattern(self) -> tuple[Pattern | None, dict[str, str]]:
        parse = self._mapping("parse")
        fixup = {str(key): str(value) for key, value in (self._mapping("parse", "fixupdict") or _FIXUP).items()}
        if not parse.get("pattern"):
            return None, {**_FIXUP, **fixup}
        text = str(parse["pattern"])
        try:
            regex = re.compile(text, re.MULTILINE)
        except re.error as error:
            raise self._file.wrong(f"the pattern is no regular expression: {error}", "parse", "pattern") from None
        missing = [name for name in _GROUPS[:2] if name not in regex.groupindex]
        if missing and not {"test_case_id", "measurement"} <= set(regex.groupindex):
            raise self._file.wrong(
                f"the pattern lacks the group (?P<{missing[0]}>...), so nothing it matches is a result",
                "parse", "pattern",
            )  # fmt: skip
        return Pattern(regex, fixup), {**_FIXUP, **fixup}


def assignments(params: Mapping[str, str]) -> str:
    """Parameters as lines of shell; any value comes out as it is."""
    for name in params:
        if not _NAME.match(name):
            raise ConfigurationError(f"--param {name}=...: {name!r} is no name of a shell variable")
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in params.items())


def _text(value: object) -> str:
    """As LAVA turns YAML into text: by Python's ``str``, and nothing is nothing."""
    return "" if value is None else str(value)


def _command(value: object) -> str:
    """``- true`` is a command, though YAML takes it for a truth; LAVA's dispatcher stumbles over it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _joined(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else _text(value)
