"""The house is as docs/architecture.md draws it: imports only go down, or stay on a floor without a circle."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "pytest_lava"
ROW = re.compile(r"^\| (\d) \| (`[^|]*`) \|", re.MULTILINE)


def floors() -> dict[str, int]:
    """Each room (a folder or a single module, perhaps with a wildcard) and its floor."""
    rows = ROW.findall((ROOT / "docs/architecture.md").read_text())
    return {name.strip("/"): int(floor) for floor, names in rows for name in re.findall(r"`([^`]+)`", names)}


def room(module: str) -> str:
    """The room of ``pytest_lava.ROOM...``; the package itself, which holds nothing, is none."""
    name = [*module.split("."), ""][1]
    return name if not name or (PACKAGE / name).is_dir() else f"{name}.py"


def floor(name: str) -> int:
    """Its floor."""
    found = [number for pattern, number in floors().items() if fnmatch(name, pattern)]
    assert len(found) == 1, f"docs/architecture.md has {name} {len(found)} times in its table of floors"
    return found[0]


def imports(path: Path) -> Iterator[str]:
    """What a module imports, also within functions, but not what only its annotations need."""
    todo: list[ast.AST] = [ast.parse(path.read_text())]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: an import that is relative"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        todo += ast.iter_child_nodes(node)


def wanted() -> Iterator[tuple[str, str, str]]:
    """Who imports what, and the room of who does."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for name in imports(path):
            yield module, name, room(module)


def test_imports_go_down() -> None:
    level: dict[str, set[str]] = {}
    wrong = []
    for module, name, here in wanted():
        there = room(name) if name.startswith("pytest_lava.") else ""
        if not here or not there or here == there:
            continue
        level.setdefault(here, set()).add(there)
        if floor(there) > floor(here):
            wrong.append(f"{module} imports {name}")
    assert wrong == []
    assert len(level) > 15
    list(TopologicalSorter(level).static_order())  # raises CycleError


def test_only_the_face_knows_pytest() -> None:
    others = [module for module, name, here in wanted() if name.split(".")[0] == "pytest" and here != "plugin"]
    assert others == []


def test_folders_of_the_face_import_down() -> None:
    """What is collected knows nothing of reports, and neither knows of those who put a run together."""
    low = dict.fromkeys(("collecting", "run", "run_folder", "named_files", "board_files"), 0)
    folders = {"collecting": 0, "reporting": 1, "boards": 2, "items": 2, "output": 2}
    assert set(folders) == {path.parent.name for path in (PACKAGE / "plugin").glob("*/__init__.py")}
    level: dict[str, set[str]] = {}
    for module, name, _ in wanted():
        here, there = [*module.split("."), "", ""][2], [*name.split("."), "", ""][2]
        if here in folders and name.startswith("pytest_lava.plugin.") and here != there:
            assert (low | folders).get(there, 9) <= folders[here], f"{module} imports {name}"
            level.setdefault(here, set()).add(there)
    assert len(level) >= 4
    list(TopologicalSorter(level).static_order())


def test_modules_and_functions_are_short() -> None:
    long = []
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        found = [("", len(text.splitlines()), 400)]
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                found.append((node.name, (node.end_lineno or 0) - node.lineno + 1, 50))
        long += [f"{path.relative_to(ROOT)} {name}: {lines} lines" for name, lines, most in found if lines > most]
    assert long == []


def test_nothing_sleeps() -> None:
    assert [module for module, name, _ in wanted() if name == "time.sleep"] == []
    assert [path for path in PACKAGE.rglob("*.py") if "time.sleep" in path.read_text()] == []
