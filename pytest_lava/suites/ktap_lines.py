"""What a single line of KTAP or TAP says: version, plan, result, subtest, bail out, or nothing of the kind.

KTAP is described in the kernel's Documentation/dev-tools/ktap.rst, TAP 12 to 14 at https://testanything.org.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from pytest_lava.console.kernel_records import CALLER, STAMP

__all__ = ["STAMPED", "KtapLine", "all_good", "named", "read_line", "verdict"]

Kind = Literal["version", "plan", "result", "subtest", "bail", "yaml", "comment", "text"]

#: a line of the kernel's log
STAMPED = re.compile(rf"(?:<\d+>)?{STAMP}{CALLER} ?")

#: KTAP nests by white space, kselftest by ``# `` before each line
_PREFIX = r"(?P<prefix>(?:[ \t]|# )*)"
_VERSION = re.compile(_PREFIX + r"(?P<word>K?TAP) version (?P<number>\d{1,3})\s*")
_PLAN = re.compile(_PREFIX + r"1\.\.(?P<number>\d{1,9})(?:\s*#\s*(?:SKIP\S*)?\s*(?P<text>.*))?", re.IGNORECASE)
_RESULT = re.compile(_PREFIX + r"(?P<word>(?:not )?ok)(?:[ \t]+(?P<number>\d{1,9})(?=[\s#]|$))?(?P<text>(?:[ \t].*)?)")
_BAIL = re.compile(_PREFIX + r"Bail out!\s*(?P<text>.*)")
_SUBTEST = re.compile(r"(?P<prefix>(?:[ \t]|# )*?)# (?:Subtest: (?P<text>\S.*)|(?P<test>selftests: \S+: \S.*))")
_YAML = re.compile(r"(?P<prefix>(?:[ \t]|# )+)---\s*")
_COMMENT = re.compile(r"(?P<prefix>[ \t]*)#.*")
#: what stands behind a description; a ``#`` of the description itself is escaped, or has no space around it
_REMARK = re.compile(r"(?:^|[ \t])(?<!\\)#(?:[ \t]+|(?=SKIP|TODO|XFAIL|TIMEOUT|ERROR))(?P<text>.*)", re.IGNORECASE)
_DIRECTIVE = re.compile(r"(?P<word>SKIP|TODO|XFAIL|TIMEOUT|ERROR)(?:PED)?\b:?[ \t]*(?P<text>.*)", re.IGNORECASE)
#: ksft_print_cnts() of tools/testing/selftests/kselftest.h
_TOTALS = re.compile(r"[# \t]*# Totals: pass:(\d+) fail:(\d+) xfail:(\d+) xpass:(\d+) skip:(\d+) error:(\d+)\s*")
_NAME = 200  # characters


@dataclass(frozen=True)
class KtapLine:
    """``width`` is how far it is indented, in characters; ``number`` that of a result, plan or version."""

    kind: Kind
    width: int = 0
    word: str = ""
    number: int | None = None
    text: str = ""


def read_line(line: str) -> KtapLine:
    """Take a line apart. It has no line end, and none of the stamps that the kernel's log has."""
    structure = _result(line) or _frame(line)
    if structure is not None:
        return structure
    if ("# S" in line or "# s" in line) and (found := _SUBTEST.fullmatch(line)):
        return KtapLine("subtest", len(found["prefix"]), "", None, (found["text"] or found["test"]).strip())
    if "---" in line and (found := _YAML.fullmatch(line)):
        return KtapLine("yaml", *_of(found))
    found = _COMMENT.fullmatch(line)
    return KtapLine("comment", *_of(found)) if found else KtapLine("text")


def _result(line: str) -> KtapLine | None:
    found = _RESULT.fullmatch(line) if "ok" in line else None
    # in a diagnostic line, only what has a number is a result
    if found is None or (found["number"] is None and "#" in found["prefix"]):
        return None
    number = found["number"]
    return KtapLine("result", *_of(found), None if number is None else int(number), found["text"].strip())


def _frame(line: str) -> KtapLine | None:
    """What stands around results."""
    if ".." in line and (found := _PLAN.fullmatch(line)):
        return KtapLine("plan", *_of(found), int(found["number"]), (found["text"] or "").strip())
    if "TAP version" in line and (found := _VERSION.fullmatch(line)):
        return KtapLine("version", *_of(found), int(found["number"]))
    if "Bail out!" in line and (found := _BAIL.fullmatch(line)):
        return KtapLine("bail", *_of(found), None, found["text"].strip())
    return None


def all_good(line: str) -> int:
    """How many tests kselftest's totals have, if none failed: programs may count some without printing a result."""
    found = _TOTALS.fullmatch(line) if "Totals: " in line else None
    if found is None:
        return 0
    passed, failed, expected, unexpected, skipped, broken = (int(number) for number in found.groups())
    return 0 if failed or broken else passed + expected + unexpected + skipped


def _of(found: re.Match[str]) -> tuple[int, str]:
    return len(found["prefix"]), found.groupdict().get("word") or ""


def named(text: str) -> tuple[str, ...]:
    """The name in a description, as a path: what kselftest calls ``selftests: DIR: TEST`` is ``(DIR, TEST)``."""
    text = _plain(text)
    if text.startswith("selftests: "):
        parts = [part.strip() for part in text.removeprefix("selftests: ").split(": ", 1)]
        return tuple(part for part in parts if part)
    return (text,) if text else ()


def verdict(word: str, text: str) -> tuple[tuple[str, ...], str, str, str]:
    """Name, result (pass, fail, skip, xfail), directive and reason of a result line; ``text`` follows the number.

    ``TODO`` and ``XFAIL`` are failures that are expected; where a ``TODO`` passes, that is said. kselftest writes the
    name of a skipped test behind the directive.
    """
    good, found = word == "ok", _REMARK.search(text)
    name = named(text[: found.start()] if found else text)
    remark = found["text"].strip() if found else ""
    told = _DIRECTIVE.match(remark)
    if told is None:
        return name, "pass" if good else "fail", "", remark
    directive, reason = told["word"].upper(), told["text"].strip()
    name = name or named(reason)
    if directive == "SKIP":
        return name, "skip", directive, reason
    if directive == "XFAIL" or (directive == "TODO" and not good):
        return name, "xfail", directive, reason
    if directive == "TODO":
        return name, "pass", directive, f"it passes, though it is marked TODO: {reason}".rstrip(": ")
    return name, "pass" if good else "fail", directive, f"{directive} {reason}".strip()


def _plain(text: str) -> str:
    """A description without its dash, escapes, and what has a meaning in node ids."""
    text = text.strip()
    text = re.sub(r"-+(?:[ \t]+|$)", "", text, count=1) if text.startswith("-") else text
    text = re.sub(r"\\([\\#])", r"\1", text)
    text = re.sub(r"[\x00-\x1f\x7f\s]+", " ", text).strip()
    text = re.sub(r":{2,}", ".", text).translate(str.maketrans("[]", "()"))
    return text if len(text) <= _NAME else text[: _NAME - 3] + "..."
