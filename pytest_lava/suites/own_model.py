"""What a suite of our own may say: typed, every key documented in docs/suites.md, unknown keys refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pytest_lava.suites.definition import Pattern
from pytest_lava.suites.signals import numbered

__all__ = ["Measure", "Parse", "Requires", "SuiteModel", "TestModel"]

_NAME = re.compile(r"[^\[\]\x00-\x1f\x7f]{1,100}")
_GROUPS = {"test_case_id", "result", "measurement", "units", "test_set_id", "message"}
#: who says that a test is not for this board: automake's status, and kselftest's
SKIP_STATUS = 77


def _text(value: Any) -> Any:
    """YAML takes ``run: true`` for a truth, and ``name: 1`` for a number."""
    return str(value).lower() if isinstance(value, bool) else value


def _name(text: str) -> str:
    text = text.strip()
    if not _NAME.fullmatch(text) or "::" in text:
        raise ValueError("a name has 1 to 100 characters, no brackets and no '::'")
    return text


def _regex(text: str) -> str:
    try:
        re.compile(text, re.MULTILINE)
    except re.error as error:
        raise ValueError(f"this is no regular expression: {error}") from None
    return text


def _many(value: Any) -> Any:
    """One is a list of one."""
    return value if value is None or isinstance(value, (list, tuple)) else [value]


def _measures(value: Any) -> Any:
    found = _many(value)
    return [{"pattern": one} if isinstance(one, str) else one for one in found] if found else found


def _parse(value: Any) -> Any:
    """A format, or else a regular expression."""
    if not isinstance(value, str):
        return value
    return {"format": value} if re.fullmatch(r"\w+", value) else {"pattern": value}


def _variables(found: Mapping[str, str]) -> Mapping[str, str]:
    for name in found:
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            raise ValueError(f"{name!r} is no name of a shell variable")
    return found


Text = Annotated[str, BeforeValidator(_text)]
Name = Annotated[str, BeforeValidator(_text), AfterValidator(_name)]
Regex = Annotated[str, BeforeValidator(_text), AfterValidator(_regex)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_many)]
Regexes = Annotated[tuple[Regex, ...], BeforeValidator(_many)]
Variables = Annotated[Mapping[str, Text], AfterValidator(_variables)]
Seconds = Annotated[float, Field(gt=0, le=30 * 86400)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True, allow_inf_nan=False)


class Requires(_Strict):
    """What the board has to have; without it tests are skipped, and the reason says what is missing."""

    tools: Texts = Field(default=(), description="programs, found by PATH")
    files: Texts = Field(default=(), description="files or folders; *, ? and [1-9] as in a shell")
    arch: Texts = Field(default=(), description="architectures, as board files have them")
    features: Texts = Field(default=(), description="words that have to be in features of the board file")
    root: bool = Field(default=False, description="the shell has to be root's")
    check: Text | None = Field(default=None, description="a command that has to return 0")


class Measure(_Strict):
    """A number in what a test wrote: the group ``value``, else the first group; the last match counts."""

    pattern: Regex
    name: Name | None = None
    units: Text = ""
    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _has_a_value(self) -> Self:
        if not re.compile(self.pattern).groups:
            raise ValueError(r"the pattern has no group for the number: write it as (?P<value>\d+)")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        return self

    def value(self, output: str) -> float | str | None:
        """The number; a text that is none; None if the pattern does not match."""
        matches = list(re.finditer(self.pattern, output, re.MULTILINE))
        if not matches:
            return None
        found = matches[-1]
        text = found["value"] if "value" in found.re.groupindex else found[1]
        value = numbered((text or "").strip())
        return text if value is None else value


class Parse(_Strict):
    """How results are found in what a test writes."""

    format: Literal["ktap", "tap", "ltp"] | None = None
    pattern: Regex | None = None
    fixup: Mapping[str, Text] = Field(default={}, description="what words of the pattern's group 'result' mean")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.format is None) == (self.pattern is None):
            raise ValueError("write a format (ktap, tap, ltp) or a pattern")
        if self.pattern is not None:
            groups = set(re.compile(self.pattern).groupindex)
            if "test_case_id" not in groups or not groups & {"result", "measurement"}:
                raise ValueError("the pattern needs the groups (?P<test_case_id>...) and (?P<result>...)")
            if groups - _GROUPS:
                raise ValueError(f"the pattern's groups are {', '.join(sorted(_GROUPS))}")
        if bad := set(self.fixup.values()) - {"pass", "fail", "skip", "unknown"}:
            raise ValueError(f"fixup makes pass, fail, skip or unknown of words, and not {sorted(bad)[0]!r}")
        return self

    @property
    def compiled(self) -> Pattern | None:
        """The pattern, as a definition has it; words that need no fixup are known in both cases."""
        if self.pattern is None:
            return None
        known = {word: low for low in ("pass", "fail", "skip", "unknown") for word in (low.upper(), low.capitalize())}
        return Pattern(re.compile(self.pattern), {**known, **self.fixup})


class TestModel(_Strict):
    """One test: exactly one of ``run``, ``kselftest`` and ``kunit`` says what it does."""

    __test__ = False

    name: Name
    description: Text = ""
    run: Text | None = Field(default=None, description="commands, run by sh -e")
    kselftest: Text | None = Field(default=None, description="the folder of an installed kselftest tree")
    kunit: Literal["debugfs", "boot"] | None = Field(default=None, description="where KUnit's results are read")
    timeout: Seconds | None = None
    requires: Requires = Requires()
    # of run
    parse: Annotated[Parse, BeforeValidator(_parse)] | None = None
    status: Annotated[tuple[Annotated[int, Field(ge=0, le=255)], ...], BeforeValidator(_many)] = (0,)
    expect: Regexes = Field(default=(), description="each has to be found in what it wrote")
    reject: Regexes = Field(default=(), description="none may be found in it")
    measure: Annotated[tuple[Measure, ...], BeforeValidator(_measures)] = ()
    units: Text = Field(default="", description="of the one measurement; so are min and max")
    min: float | None = None
    max: float | None = None
    # of kselftest
    collections: Texts = Field(default=(), description="of these; default: all")
    tests: Texts = Field(default=(), description="these, as COLLECTION:TEST")
    skip: Texts = Field(default=(), description="not these, as COLLECTION:TEST")
    # of kunit
    modules: Texts = Field(default=(), description="loaded before, and unloaded at the end")

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        kinds = [kind for kind in ("run", "kselftest", "kunit") if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise ValueError(f"{self.name!r} has to have one of 'run', 'kselftest' and 'kunit'")
        allowed = {
            "run": ("parse", "status", "expect", "reject", "measure", "units", "min", "max"),
            "kselftest": ("collections", "tests", "skip"),
            "kunit": ("modules",),
        }
        for kind, keys in allowed.items():
            if kind != kinds[0] and (bad := [key for key in keys if key in self.model_fields_set]):
                raise ValueError(f"{bad[0]!r} is for tests with {kind!r}")
        if self.parse and self.measure:
            raise ValueError("with 'parse' there is no 'measure': let the pattern have the groups measurement, units")
        if not self.parse and self.status == ():
            raise ValueError("status: name at least one")
        self._check_measures()
        return self

    def _check_measures(self) -> None:
        if {"units", "min", "max"} & self.model_fields_set and len(self.measure) != 1:
            raise ValueError("units, min and max belong to the one pattern of 'measure'")
        if len(self.measure) > 1:
            names = [one.name for one in self.measure]
            if None in names or len(set(names)) < len(names):
                raise ValueError("several measurements need a name each")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Measurements, with the short form's units and bounds."""
        short: dict[str, Any] = {
            name: getattr(self, name) for name in ("units", "min", "max") if name in self.model_fields_set
        }
        return tuple(one.model_copy(update=short) for one in self.measure)


class SuiteModel(_Strict):
    """A whole file."""

    suite: Name
    description: Text = ""
    requires: Requires = Requires()
    params: Variables = Field(default={}, description="variables of its commands; --param replaces them")
    timeout: Seconds = Field(default=60.0, description="seconds of each test that does not say its own")
    setup: Text | None = Field(default=None, description="run before the first test; if it fails, none runs")
    teardown: Text | None = Field(default=None, description="run behind the last test, whatever became of it")
    tests: tuple[TestModel, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [test.name for test in self.tests]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two tests have the name {twice[0]!r}")
        if self.suite == "lava":
            raise ValueError("the name 'lava' is that of results about the run: choose another")
        return self
