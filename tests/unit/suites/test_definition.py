"""Test definitions: all shapes are read as LAVA reads them, and what is wrong has a line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_lava.errors import ConfigurationError
from pytest_lava.suites.definition import Definition, assignments, is_definition
from pytest_lava.suites.load import load
from pytest_lava.suites.running import DefinitionSuite

HEAD = "metadata:\n  format: Lava-Test Test Definition 1.0\n  name: smoke\n"
WHOLE = """
metadata:
    format: Lava-Test-Shell Test Definition 1.0
    name: everything
    version: 1
    description: "All that there is."
    maintainer:
        - a@example.org
        - b@example.org
params:
    COUNT: 3
    SKIP_INSTALL: False
    NOTHING:
parameters:
    MORE: "it's"
install:
    keys: [ABC]
    sources: ["deb http://x y main"]
    deps: [gcc, make]
    deps-debian: [libc6-dev]
    git-repos:
        - http://example.org/one.git
        - {url: http://example.org/two.git, branch: stable, destination: other}
    steps: ["./configure"]
run:
    steps:
        - cd here
        - |
          for i in 1 2; do
              echo $i
          done
        - true
parse:
    pattern: '(?P<test_case_id>\\S+)\\s+(?P<result>OK|BAD)'
    fixupdict: {OK: pass, BAD: fail}
expected: [one, two]
"""


def read(tmp_path: Path, text: str) -> Definition:
    file = tmp_path / "x.yaml"
    file.write_bytes(text.encode())
    (suite,) = load(file)
    assert isinstance(suite, DefinitionSuite)
    return suite.definition


def test_all_that_there_is(tmp_path: Path) -> None:
    found = read(tmp_path, WHOLE)
    assert found.name == "everything"
    assert found.steps == ("cd here", "for i in 1 2; do\n    echo $i\ndone\n", "true")
    assert found.params == {"COUNT": "3", "SKIP_INSTALL": "False", "NOTHING": "", "MORE": "it's"}
    assert (found.deps, found.distro_deps) == (("gcc", "make"), {"debian": ("libc6-dev",)})
    assert (found.keys, found.sources) == (("ABC",), ("deb http://x y main",))
    assert [(one.url, one.branch, one.destination) for one in found.repositories] == [
        ("http://example.org/one.git", "", ""), ("http://example.org/two.git", "stable", "other"),
    ]  # fmt: skip
    assert found.pattern is not None
    assert found.pattern.fixup == {"OK": "pass", "BAD": "fail"}
    assert found.fixup["PASS"] == "pass"
    assert found.expected == ("one", "two")
    assert found.metadata["maintainer"] == "a@example.org, b@example.org"
    assert found.installs


def test_dos_line_ends_change_nothing(tmp_path: Path) -> None:
    plain, dos = read(tmp_path, WHOLE), read(tmp_path, WHOLE.replace("\n", "\r\n"))
    assert (plain.steps, plain.params) == (dos.steps, dos.params)


def test_without_a_name_it_has_that_of_its_file(tmp_path: Path) -> None:
    assert read(tmp_path, "metadata: {format: Lava-Test Test Definition 1.0}\nrun: {steps: [ls]}\n").name == "x"


@pytest.mark.parametrize(
    "text, line, why",
    [
        ("a: b: c", 1, "this is no YAML"),
        ("- a\n", 1, "this is no test: "),
        ("", 1, "this is no test: "),
        ("# nothing but this\n", 1, "this is no test: "),
        ("metadata:\n  name: x\n", 1, "this is no test: "),
        ("job_name: x\nactions: []\n", 2, "a LAVA job is run if it is named on the command line"),
        (HEAD + "run:\n  expected: []\n", 4, "it has nothing to run"),
        (HEAD + "run:\n  steps: {a: b}\n", 5, "'run: steps' has to be a list"),
        (HEAD + "run:\n  steps:\n    - ls\n    - echo a: b\n", 7, "entry 2 of 'run: steps' is no text"),
        (HEAD.replace("1.0", "7.0") + "run: {steps: [ls]}\n", 2, "the format .* is not known"),
        (HEAD.replace("smoke", "lava") + "run: {steps: [ls]}\n", 3, "the name 'lava' is that of results"),
        (HEAD + "params: [a]\nrun: {steps: [ls]}\n", 4, "'params' has to be a mapping"),
        (HEAD + "params:\n  A: 1\n  a-b: 1\nrun: {steps: [ls]}\n", 6, "'a-b' is no name of a shell variable"),
        (HEAD + "run: {steps: [ls]}\nparse:\n  pattern: '('\n", 6, "the pattern is no regular expression"),
        (HEAD + "run: {steps: [ls]}\nparse:\n  pattern: 'x'\n", 6, r"lacks the group \(\?P<test_case_id>"),
        (HEAD + "run: {steps: [ls]}\ninstall:\n  git-repos: [{branch: x}]\n", 6, "a git repository is a URL"),
        (HEAD + "run: {steps: [ls]}\ninstall:\n  git-repos: 3\n", 6, "'install: git-repos' has to be a list"),
        (HEAD + "run: {steps: [ls]}\ninstall:\n  git-repos: {url: x}\n", 6, "'install: git-repos' has to be a list"),
    ],
)
def test_a_mistake_has_its_line(tmp_path: Path, text: str, line: int, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as error:
        read(tmp_path, text)
    assert str(error.value).startswith(f"{tmp_path / 'x.yaml'}:{line}: ")


@pytest.mark.parametrize("where", ["metadata: {format: Lava-Test Test Definition 1.0, x: *j}", "params: {A: *j}"])
@pytest.mark.parametrize("kind", ["list", "merge"])
def test_aliases_that_grow_without_end_are_told(tmp_path: Path, where: str, kind: str) -> None:
    """9 to the power of 9 words: nobody waits for them, and no memory holds them."""
    first = "a: &a [lol]\n" if kind == "list" else "a: &a {l: ol}\n"
    body = {"list": "[{}]", "merge": "{{<<: [{}], {}: 1}}"}[kind]
    grown = (
        f"{to}: &{to} " + body.format(", ".join([f"*{of}"] * 9), to)
        for of, to in zip("abcdefghi", "bcdefghij", strict=True)
    )
    file = tmp_path / "lol.yaml"
    file.write_text(first + "\n".join(grown) + f"\n{where}\nrun: {{steps: [a]}}\n")
    with pytest.raises(ConfigurationError, match=r"its aliases make [0-9]+ MB of it: write out what is meant"):
        load(file)


def test_aliases_that_lead_back_and_common_ones(tmp_path: Path) -> None:
    text = HEAD + "more: &m {self: *m}\nparams: &p {A: 1}\nparameters: {<<: *p, B: 2}\nrun: {steps: [a]}\n"
    assert read(tmp_path, text).params == {"A": "1", "B": "2"}


def test_a_missing_file_and_another_encoding(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"metadata: {name: \xe9}\n")
    with pytest.raises(ConfigurationError, match="save it as UTF-8"):
        load(tmp_path / "latin.yaml")


@pytest.mark.parametrize("data", [None, [], "text", {"jobs": 1}, {"metadata": {"name": "x"}}, {"run": {"steps": []}}])
def test_other_yaml_is_none(data: object) -> None:
    assert not is_definition(data)


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_parameters_come_out_as_they_are(shell: str) -> None:
    value = ("""it's "quoted" $HOME `id` \\ * é\n""" * 250)[:5000] + "."
    script = assignments({"A": value}) + 'printf %s "$A"'
    assert subprocess.run([shell, "-c", script], capture_output=True, check=True).stdout.decode() == value
