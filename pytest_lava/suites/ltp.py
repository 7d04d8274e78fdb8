"""What the Linux Test Project prints: results of one test's steps, and the tables of runltp and kirk.

Formats: LTP's ``lib/tst_test.c`` (``file.c:LINE: TPASS: text``), ``lib/tst_res.c`` of the old library
(``name  NUMBER  TPASS  :  text``), the log of ``runltp -l`` (``name  PASS  STATUS``) and kirk's output
(``name: pass (1.2s)``).
"""

from __future__ import annotations

import re
from collections import Counter

from pytest_lava.suites.parsing import ParsedCase, Told

__all__ = ["LtpParser"]

_RESULTS = {
    "TPASS": "pass", "TFAIL": "fail", "TBROK": "fail", "TWARN": "fail", "TCONF": "skip",
    "PASS": "pass", "FAIL": "fail", "BROK": "fail", "BROKEN": "fail", "WARN": "fail", "CONF": "skip", "SKIP": "skip",
}  # fmt: skip
_WORD = r"(?P<word>TPASS|TFAIL|TBROK|TWARN|TCONF)"
_NEW = re.compile(rf"(?P<name>[\w.+-]+?)(?:\.[ch])?:\d+: {_WORD}: (?P<text>.*)")
_OLD = re.compile(rf"(?P<name>[\w.+-]+)\s+(?P<number>\d+)\s+{_WORD}\s*:\s*(?P<text>.*)")
_RUNLTP = re.compile(r"(?P<name>[\w.+-]+)\s+(?P<word>PASS|FAIL|CONF|BROK|WARN|SKIP)\s+(?P<status>\d+)\s*")
_KIRK = re.compile(r"(?P<name>[\w.+-]+): (?P<word>pass|fail|conf|skip|broken|warn)\s+\([\d.]+m?s\).*")
_COLOUR = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")
_KEPT = 1 << 14  # characters of output before a result


class LtpParser:
    """A :class:`~pytest_lava.suites.parsing.LineParser`. Steps of a test are numbered, as LTP gives them no names."""

    def __init__(self, tell: Told) -> None:
        self._tell = tell
        self._line = 0
        self._output = ""
        self._steps: Counter[str] = Counter()
        self.cases = 0
        self.failed = 0
        self.remarks: list[str] = []
        self.said = False
        self.bailed: str | None = None
        self.skipped: str | None = None

    def feed(self, line: str) -> None:
        """See :class:`~pytest_lava.suites.parsing.LineParser`."""
        self._line += 1
        line = _COLOUR.sub("", line.rstrip("\r\n"))[:4096]
        step = (_NEW.match(line) or _OLD.match(line)) if ": " in line else None
        if step is not None:
            self._steps[step["name"]] += 1
            self._case((step["name"], str(self._steps[step["name"]])), step["word"], step["text"].strip())
        elif whole := _RUNLTP.fullmatch(line):
            status = int(whole["status"])
            self._case((whole["name"],), whole["word"], f"its status was {status}" if status else "")
        elif whole := _KIRK.fullmatch(line):
            self._case((whole["name"],), whole["word"].upper(), "")
        else:
            self._output = f"{self._output}{line}\n"[-_KEPT:]

    def _case(self, path: tuple[str, ...], word: str, text: str) -> None:
        result = _RESULTS[word]
        self.said = True
        self.cases += 1
        self.failed += result == "fail"
        output, self._output = self._output.rstrip(), ""
        reason = f"{word}: {text}" if word in ("TBROK", "TWARN") else text
        self._tell(ParsedCase(path, result, reason, "", output, self._line))

    def finish(self, why: str = "") -> None:
        """See :class:`~pytest_lava.suites.parsing.LineParser`."""
