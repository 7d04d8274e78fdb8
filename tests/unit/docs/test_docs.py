"""The documents say what the code says: every key, option, command and exit status; links and board files work."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from pytest_lava.cli import main
from pytest_lava.config.boards import BoardFiles
from pytest_lava.config.model import (
    BoardModel,
    Console,
    Defaults,
    Hardware,
    Health,
    Login,
    Proxy,
    Retry,
    Timeouts,
    Transfer,
    Watch,
)
from pytest_lava.config.paths import shipped
from pytest_lava.console.ladder import RUNGS
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ExitStatus
from pytest_lava.events import EventLog
from pytest_lava.plugin import fixtures
from pytest_lava.plugin.options import pytest_addoption
from pytest_lava.power.api import PowerContext
from pytest_lava.registry import Registry
from pytest_lava.responsiveness import Verdict
from pytest_lava.sinks.api import Parcel, Results, SinkBusy

ROOT = Path(__file__).parents[3]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*.md"))]
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def tables() -> Iterator[tuple[str, type[BaseModel]]]:
    """Each section of docs/boards.md that has to list the keys of a model."""
    yield "Top level", BoardModel
    for model in (Console, Login, Defaults, Transfer, Proxy, Watch, Hardware, Timeouts, Retry, Health):
        yield f"`[{model.__name__.lower()}]`", model
    registry = Registry()
    for kind in ("power", "deploy", "boot"):
        for name in registry.names(kind):
            yield f"`[{kind}]` with method `{name}`", registry.get(kind, name).Options


def test_rungs_of_the_hang_ladder() -> None:
    text = section((ROOT / "docs/boards.md").read_text(), "When a board falls silent")
    rows = [
        tuple(row) for row in re.findall(r"^\| `([^`]+)` \| [^|]* \| ([\d.]+) \|(?: `(.*)` \|)?$", text, re.MULTILINE)
    ]
    rungs = [(rung.name, f"{rung.limit:g}", rung.proves) for rung in (RUNGS.ping, *RUNGS.interrupts, *RUNGS.kernel)]
    assert rows == [*rungs, *((dump.key, f"{dump.limit:g}", "") for dump in RUNGS.dumps)]
    assert all(f"`{verdict}`" in text for verdict in Verdict)


def section(text: str, title: str) -> str:
    """What stands below one heading."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/boards.md has no section {title!r}"
    return found[1]


@pytest.mark.parametrize(("title", "model"), list(tables()), ids=lambda value: value if isinstance(value, str) else "")
def test_every_key_of_a_board_file_has_a_row_with_its_default(title: str, model: type[BaseModel]) -> None:
    text = section((ROOT / "docs/boards.md").read_text(), title)
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]*) \|", text.replace(r"\|", "\0"), re.MULTILINE))
    if "| key |" not in text:
        rows = {}
    assert set(rows) == set(model.model_fields)
    for name, field in model.model_fields.items():
        if field.is_required():
            assert rows[name] == "required", name
        elif field.default is None:
            assert rows[name] == "none", name
        elif isinstance(field.default, (bool, int, float, str)):
            assert rows[name].replace("\0", "|").strip("`").strip('"') == _written(field.default), name
        else:
            assert field.default is not PydanticUndefined


def _written(value: bool | float | str) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_every_option_is_in_the_readme() -> None:
    class Parser:
        names: list[str] = []  # noqa: RUF012 - lives as long as this test

        def getgroup(self, *_: Any) -> Parser:
            return self

        def addoption(self, *names: str, **_: Any) -> None:
            self.names.extend(names)

        def addini(self, name: str, *_: Any, **__: Any) -> None:
            self.names.append(name)

    parser = Parser()
    pytest_addoption(parser)  # type: ignore[arg-type]
    text = (ROOT / "README.md").read_text()
    assert len(parser.names) > 10
    assert [name for name in parser.names if not re.search(rf"{name}(?![\w-])", text)] == []


def test_every_fixture_is_in_the_tutorial() -> None:
    text = (ROOT / "docs/tutorial.md").read_text()
    assert [name for name in fixtures.__all__ if f"`{name}`" not in text] == []


def test_every_subcommand_is_in_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    names = re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE)
    assert names
    text = (ROOT / "README.md").read_text()
    assert [name for name in names if f"pytest-lava {name}" not in text] == []


def test_exit_statuses() -> None:
    text = (ROOT / "docs/results.md").read_text()
    for status in (*ExitStatus, *pytest.ExitCode):
        assert f"\n| {int(status)} | " in text, status


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def anchors(page: Path) -> set[str]:
    """Anchors of headings as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def blocks(language: str) -> Iterator[tuple[Path, str, str]]:
    """Marked blocks of all pages: page, what stands behind the language, content."""
    for page in PAGES:
        for found, mark, content in BLOCK.findall(page.read_text()):
            if found == language:
                yield page, mark.strip(), content


def documented_driver(file: str = "myrelay.py", name: str = "FileRelay") -> Any:
    """A class of docs/writing-drivers.md."""
    code = next(code for _, title, code in blocks("python") if title == f"file={file}")
    names: dict[str, Any] = {"__name__": "documented_driver"}
    exec(compile(code, file, "exec", dont_inherit=True), names)
    return names[name]


BOARDS = [(page, mark, content) for page, mark, content in blocks("toml") if mark.startswith("board=")]


@pytest.mark.parametrize(("page", "mark", "content"), BOARDS, ids=[mark for _, mark, _ in BOARDS])
def test_board_files_can_be_used(page: Path, mark: str, content: str, tmp_path: Path) -> None:
    words = dict(word.split("=") for word in mark.split())
    registry = Registry()
    if "driver" in words:
        registry.add("power", words["driver"], documented_driver())
    (tmp_path / f"{words['board']}.toml").write_text(content)
    board = BoardFiles([tmp_path, shipped("boards")], registry).load(words["board"])
    assert board.name == words["board"]
    assert not board.model.abstract


def test_other_toml_is_toml() -> None:
    for _, _, content in blocks("toml"):
        tomllib.loads(content)


def test_the_documented_driver_switches(tmp_path: Path) -> None:
    orders: list[str] = []

    class Notes:
        def process(self, pid: int) -> Any:
            raise AssertionError

        def command(self, command: str) -> Any:
            orders.append(command)
            return lambda: orders.remove(command)

    driver = documented_driver()
    relay = driver(driver.Options(file="relay", settle=0), PowerContext("desk", tmp_path, Notes(), EventLog()))
    relay.check()
    relay.on(Deadline.after(1))
    assert (tmp_path / "relay").read_text() == "1"
    assert len(orders) == 1
    relay.cycle(Deadline.after(1))
    assert len(orders) == 1
    relay.off(Deadline.after(1))
    assert (tmp_path / "relay").read_text() == "0"
    assert orders == []


def test_the_documented_sink_sends_once_and_waits_for_its_folder(tmp_path: Path) -> None:
    sink_type = documented_driver("tally.py", "TallySink")
    sink = sink_type("sheet", sink_type.Options(url=str(tmp_path / "lab" / "runs.csv")), None)
    bundle, folder = tmp_path / "bundle.json", tmp_path / "parcel"
    results = [{"result": word} for word in ("pass", "fail", "pass", "unknown")]
    bundle.write_text(json.dumps({"test_runs": [{"test_results": results[:1]}, {"test_results": results[1:]}]}))
    folder.mkdir()
    sink.pack(Results("76c2", tmp_path, bundle), folder)
    bundle.unlink()
    with pytest.raises(SinkBusy, match="No such file"):
        sink.send(Parcel("76c2", folder), Deadline.after(5))
    (tmp_path / "lab").mkdir()
    for _ in range(2):
        assert sink.send(Parcel("76c2", folder), Deadline.after(5)).url.endswith("/lab/runs.csv")
    assert (tmp_path / "lab" / "runs.csv").read_text() == "76c2,2,1\n"


def test_no_output_of_one_machine() -> None:
    for page in PAGES:
        assert not re.search(r"/root/|/work/|/tmp/", page.read_text()), page
