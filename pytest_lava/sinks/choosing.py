"""From what a user wrote, a name of ``pytest-lava.toml`` or a URL, to a sink with its options, and its secret apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

from pydantic import BaseModel, ValidationError

from pytest_lava.arguments import without_secret
from pytest_lava.config.mistakes import Source, did_you_mean, explain, place_of
from pytest_lava.errors import ConfigurationError
from pytest_lava.registry import Registry
from pytest_lava.sinks.api import Sink
from pytest_lava.sinks.secrets import FoundSecrets, variable
from pytest_lava.sinks.settings import FILE, Settings

__all__ = ["SinkChoice", "SinkChooser", "made_from"]

_FOLDERS = ("file", "junit")  # kinds whose URL may be a path
#: what no URL has; spaces and the like would be sent otherwise than written, or dropped
_NO_URL = re.compile(r"[\x00-\x20\x7f]")
_PLAIN = {"http": "http", "https": "http", "file": "file"}  # kinds of a URL that names none


@dataclass(frozen=True)
class SinkChoice:
    """A sink and its options, none of which is secret. ``settings`` is the file that has its table, if one has."""

    name: str
    kind: str
    sink: Sink
    options: BaseModel
    settings: str = ""

    @property
    def as_json(self) -> dict[str, Any]:
        """What :func:`made_from` makes it from again, in another process."""
        told = {"name": self.name, "kind": self.kind, "options": self.options.model_dump(mode="json")}
        return {**told, "settings": self.settings} if self.settings else told

    @property
    def url(self) -> str:
        """Where it leads, for people."""
        return str(getattr(self.options, "url", ""))


class SinkChooser:
    """Reads what ``--submit`` and ``--to`` were given. ``base`` is the folder that relative paths begin at."""

    def __init__(
        self, settings: Settings, registry: Registry, secrets: FoundSecrets, base: Path, option: str = "--submit"
    ) -> None:
        self._settings, self._registry, self._secrets, self._base = settings, registry, secrets, base
        self._option = option

    def choose(self, texts: Iterable[str]) -> tuple[SinkChoice, ...]:
        """All of them, each once. ``ConfigurationError`` tells every mistake at once."""
        found: dict[str, SinkChoice] = {}
        mistakes: list[str] = []
        for text in texts:
            try:
                choice = self._named(text) or self._of_url(text, found)
            except ConfigurationError as error:
                mistakes.append(self._secrets.mask(str(error)))
                continue
            found.setdefault(choice.name, choice)
        if mistakes:
            raise ConfigurationError("\n".join(mistakes))
        return tuple(found.values())

    def _named(self, name: str) -> SinkChoice | None:
        known = self._settings.sink(name)
        if known is None:
            return None
        table, source = known
        driver = self._driver(table["kind"], place_of([source], ("sinks", name, "kind")))
        given = {key: value for key, value in table.items() if key != "kind"}
        if isinstance(given.get("url"), str):
            try:
                given["url"], login = _credentials(given["url"])
            except ConfigurationError as error:
                raise ConfigurationError(f"{place_of([source], ('sinks', name, 'url'))}{error}") from None
            given |= self._take(driver, name, login)
        return self._made(name, table["kind"], driver, given, source)

    def _of_url(self, text: str, taken: Mapping[str, SinkChoice]) -> SinkChoice:
        kind, url = _split(text)
        if not kind:
            raise ConfigurationError(self._unknown(text))
        driver = self._driver(kind, f"{self._option} {without_secret(text)}: ")
        try:
            url, login = _credentials(url)
        except ConfigurationError as error:
            raise ConfigurationError(f"{self._option}: {error}") from None
        given: dict[str, Any] = {"url": url}
        if kind not in ("http", *_FOLDERS):  # there a query belongs to the URL, or to the name
            parts = urlsplit(url)
            pairs = parse_qsl(parts.query)
            if len(pairs) > len(dict(pairs)):
                twice = next(key for number, (key, _) in enumerate(pairs) if key in dict(pairs[:number]))
                raise ConfigurationError(f"{self._option}: {twice}= is twice in {without_secret(text)}: leave one")
            given = {"url": urlunsplit(parts._replace(query="")), **dict(pairs)}
        if login.user and "user" in driver.Options.model_fields:
            given["user"] = login.user
        name = _name_of(kind, url)
        for number in range(2, 1000):
            if name not in taken or taken[name].options == self._options(name, driver, given, None):
                break
            name = f"{_name_of(kind, url)}-{number}"
        given |= self._take(driver, name, login)
        return self._made(name, kind, driver, given, None)

    def _driver(self, kind: str, where: str) -> Any:
        try:
            return self._registry.get("sink", kind)
        except ConfigurationError:
            known = self._registry.names("sink")
            hint = did_you_mean(kind, known) or f"; there are {', '.join(known)}"
            raise ConfigurationError(f"{where}unknown kind of sink {kind!r}{hint}") from None
        except ImportError as error:
            raise ConfigurationError(f"{where}the sink {kind!r} needs {error.name}: install it with pip") from None

    def _take(self, driver: Any, name: str, login: _Login) -> dict[str, str]:
        """Secrets go where they are masked. Without a password the user is one, unless there are users."""
        user, secret = login.user, login.secret
        if "user" not in driver.Options.model_fields:
            user, secret = "", secret or user
        if secret:
            self._secrets.give(name, secret)
        elif user and not self._secrets.get(name, login.host):
            # it may well be a token, and a user is written down
            raise ConfigurationError(
                f"the URL of the sink {name!r} has one word before its @: for a token write :TOKEN@, for a user "
                f"USER:TOKEN@, or set {variable(name)}"
            )
        return {"user": user} if user else {}

    def _options(self, name: str, driver: Any, given: Mapping[str, Any], source: Source | None) -> BaseModel:
        try:
            base = source.path.parent if source else self._base
            options: BaseModel = driver.Options.model_validate(dict(given), context={"base": base})
        except ValidationError as error:
            if source:
                raise ConfigurationError(explain(error, [source], driver.Options, ("sinks", name))) from None
            raise ConfigurationError(_of_words(error, f"{self._option}: ", name, driver.Options)) from None
        return options

    def _made(self, name: str, kind: str, driver: Any, given: Mapping[str, Any], source: Source | None) -> SinkChoice:
        options = self._options(name, driver, given, source)
        settings = str(source.path.absolute()) if source else ""
        return SinkChoice(name, kind, driver(name, options, self._secrets), options, settings)

    def _unknown(self, text: str) -> str:
        """What to do about a word that is neither a name nor a URL."""
        text, names = without_secret(text), self._settings.names()
        if not text.strip():
            return f"{self._option} {text!r}: name a sink, a URL or a folder"
        if "://" in text:
            kinds = ", ".join(self._registry.names("sink"))
            return f"{self._option} {text}: the scheme tells no kind; write KIND+https://..., with a kind of {kinds}"
        there = f"there is {', '.join(names)}" if names else f"write [sinks.{text}] in {FILE}"
        near = did_you_mean(text, names) or "."
        return f"{self._option} {text}: there is no such sink, {there}{near} For a folder write ./{text}"


def made_from(stored: Mapping[str, Any], registry: Registry, secrets: FoundSecrets) -> SinkChoice:
    """The same choice again: by its table as that is today, so that a corrected URL holds for what waits already, else
    as it was. ``ConfigurationError`` for a mistake there, or if this version does not know driver or options."""
    name, kind = str(stored["name"]), str(stored["kind"])
    if choice := _of_its_table(stored, registry, secrets):
        return choice
    try:
        driver = registry.get("sink", kind)
        options = driver.Options.model_validate(stored["options"])
        return SinkChoice(name, kind, driver(name, options, secrets), options)
    except (ValidationError, ImportError) as error:
        raise ConfigurationError(f"the sink {name!r} of kind {kind!r} cannot be used any more: {error}") from None


def _of_its_table(stored: Mapping[str, Any], registry: Registry, secrets: FoundSecrets) -> SinkChoice | None:
    """By what the file says today that has its table; None if that is gone, or is of another kind by now."""
    path = Path(stored.get("settings") or "")
    if not path.name or not path.is_file():
        return None
    settings = Settings([path])
    known = settings.sink(stored["name"])
    if known is None or known[0]["kind"] != stored["kind"]:
        return None
    return SinkChooser(settings, registry, secrets, path.parent).choose([stored["name"]])[0]


def _split(text: str) -> tuple[str, str]:
    """Kind and URL; no kind if nothing tells it."""
    scheme, separator, rest = text.partition("://")
    if separator:
        scheme = scheme.lower()
        kind, plus, transport = scheme.partition("+")
        return (kind, f"{transport}://{rest}") if plus else (_PLAIN.get(scheme, ""), f"{scheme}://{rest}")
    kind, separator, path = text.partition(":")
    if separator and kind in _FOLDERS:
        return kind, path
    return ("file", text) if "/" in text or text in (".", "..") else ("", text)


@dataclass(frozen=True)
class _Login:
    """What stood before the ``@`` of a URL; empty if nothing did."""

    user: str = ""
    secret: str = ""
    host: str = ""


def _credentials(url: str) -> tuple[str, _Login]:
    """The URL (or path) without them, and what they are. ``ConfigurationError`` if it cannot be a URL."""
    scheme, separator, _ = url.partition("://")
    if not separator:
        return url, _Login()
    try:
        parts = urlsplit(url)
        _ = parts.port  # ValueError, too
    except ValueError:  # its text may have a part of the secret
        raise ConfigurationError(
            f"{_hidden(url)} is no URL: write {scheme}://HOST[:PORT]/PATH; in USER:TOKEN@ before HOST each of "
            "/ ? # @ [ ] has to be its %XX"
        ) from None
    if scheme != "file" and (wrong := _NO_URL.search(url)):
        raise ConfigurationError(f"{_hidden(url)!r} is no URL: write {quote(wrong[0])} for {wrong[0]!r}")
    before, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, _Login()
    user, _, secret = before.partition(":")
    bare = urlunsplit(parts._replace(netloc=host))
    return bare, _Login(unquote(user), unquote(secret), parts.hostname or "")


def _hidden(url: str) -> str:
    """A URL that is none, for a message: what stands before its last ``@`` may be a secret."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _name_of(kind: str, url: str) -> str:
    """What a sink is called that was given as a URL: it shows in the summary, and in the name of its variable."""
    parts = urlsplit(url)
    what = parts.hostname or Path(parts.path).name or "folder"
    return f"{kind}-{re.sub(r'[^A-Za-z0-9_.-]', '-', what)}"


def _of_words(error: ValidationError, where: str, name: str, model: type[BaseModel]) -> str:
    """As :func:`explain`, of what was given on the command line."""
    sentences = []
    for problem in error.errors():
        key = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            sentences.append(f"{where}the sink {name!r} has no key {key!r}{did_you_mean(key, model.model_fields)}")
        elif problem["type"] == "missing":
            sentences.append(f"{where}the sink {name!r} needs the key {key!r}: add ?{key}=... to its URL")
        else:
            wrong = problem["msg"].removeprefix("Value error, ")
            of = f"{key}={problem['input']}" if key else name
            sentences.append(f"{where}{of}: {wrong[:1].lower()}{wrong[1:]}")
    return "\n".join(sentences)
