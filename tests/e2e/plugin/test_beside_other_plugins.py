"""The wheel in virtual environments of its own: alone, beside many plugins, and beside those that clash elsewhere.

The environments are kept in the cache folder, one for each list of requirements; only the wheel is installed anew.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support.face import Face

from pytest_lava.images.cache import cache_dir

pytestmark = pytest.mark.e2e

CHECKOUT = Path(__file__).resolve().parents[3]
VENVS = cache_dir() / "venvs"
MANY = (
    "pytest-xdist", "pytest-html", "pytest-timeout", "pytest-cov", "pytest-randomly", "pytest-rerunfailures",
    "pytest-repeat", "pytest-benchmark", "pytest-sugar",
)  # fmt: skip
TEST = """
    import pytest
    @pytest.mark.parametrize("number", range(3))
    def test_it(shell, board, kernel, number): shell.check("true")
    def test_plain(): pass
"""


def command(*words: object, cwd: Path | None = None) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_ADDOPTS", "PYTHON"))}
    done = subprocess.run(
        list(map(str, words)), cwd=cwd, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def pip(python: Path, *words: object) -> None:
    """By the pip that runs here: one of each environment's own takes seconds to be put there."""
    command(sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", *words)


def venv(name: str, requirements: Sequence[object], key: object) -> tuple[Path, bool]:
    """Python of the virtual environment for this key, and whether it was made now, with these requirements."""
    folder = VENVS / f"{name}-{hashlib.sha256(repr((sys.version, key)).encode()).hexdigest()[:12]}"
    python, complete = folder / "bin/python", folder / "complete"
    if complete.exists():
        return python, False
    shutil.rmtree(folder, ignore_errors=True)
    command(sys.executable, "-m", "venv", "--without-pip", folder)
    pip(python, "install", "-q", "--no-compile", *requirements)
    complete.touch()
    return python, True


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    python, _ = venv("hatchling", ["hatchling"], "")
    command(python, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=CHECKOUT)
    (found,) = folder.glob("pytest_lava-*.whl")
    return found


Install = Callable[..., Path]


@pytest.fixture(scope="session")
def install(wheel: Path) -> Install:
    """Gives the ``bin`` folder of an environment that has some requirements, and the wheel with all that it needs."""
    done: dict[tuple[str, ...], Path] = {}
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(metadata).decode().splitlines()
    needs = [line for line in lines if line.startswith("Requires-Dist: ") and "extra ==" not in line]

    def give(*requirements: str) -> Path:
        if requirements not in done:
            python, new = venv("-".join(requirements[:1]) or "alone", [*requirements, wheel], (requirements, needs))
            if not new:
                pip(python, "install", "-q", "--no-compile", "--no-deps", "--force-reinstall", wheel)
            done[requirements] = python.parent
        return done[requirements]

    return give


def test_the_wheel_alone(face: Face, install: Install) -> None:
    programs = install()
    command(programs / "pytest", "--board=localhost", "--command", "true", cwd=face.path)
    assert face.results()["true"]["true"]["result"] == "pass"
    face.check_bundle()
    command(programs / "pytest", "--board=localhost", "--lava-dir=smoke", cwd=face.path)
    assert "qemu-arm64" in command(programs / "pytest-lava", "boards", cwd=face.path)
    assert "boards" in command(programs / "pytest-lava", "--help", cwd=face.path)


def test_the_shipped_tests_run_from_a_venv_inside_the_project(face: Face, install: Install) -> None:
    (face.path / ".venv").symlink_to(install().parent)
    (face.path / "pytest.ini").write_text("[pytest]\n")
    said = command(face.path / ".venv/bin/pytest", "--board=localhost", cwd=face.path)
    assert "test_smoke.py" in said


def test_beside_many_plugins(face: Face, install: Install) -> None:
    pytest_ = install(*MANY) / "pytest"
    face.write(test_it=TEST)
    said = command(pytest_, "--help", cwd=face.path)
    assert all(option in said for option in ("--board", "--cov", "--reruns", "--count", "--benchmark-only", "--html"))
    command(pytest_, "--board=localhost", "test_it.py", "--command=true", cwd=face.path)
    assert len(face.results()["test-it.py"]) == 3
    face.check_bundle()
    options = ("--count=2", "--reruns=1", "--cov=.", "--timeout=60", "-n2")
    stress = ("--stress=echo x", "--stress-iterations=2")
    command(pytest_, "--board=localhost", "test_it.py", "--command=true", *stress, *options, cwd=face.path)
    assert len(face.results()["test-it.py"]) == 6
    repeated = [face.results()[name]["echo-x"] for name in ("echo-x", "echo-x-2")]
    assert [one["attributes"]["stress.iterations"] for one in repeated] == ["2", "2"]
    face.check_bundle()


def test_a_dead_board_is_not_tried_again_for_each_rerun(face: Face, install: Install) -> None:
    pytest_ = install(*MANY) / "pytest"
    face.board("dead", 'extends = "localhost"\nconsole = "exec:sleep 60"\n[timeouts]\nkernel = 0.5\nlogin = 0.5\n')
    face.write(test_it=TEST)
    done = subprocess.run([pytest_, "--board=dead", "test_it.py", "--reruns=2"], cwd=face.path, check=False)
    assert done.returncode == 69
    assert [line["nodeid"] for line in face.journal() if line["outcome"] == "failed"] == ["boot::dead"]
    face.check_bundle()


def test_two_boards_shuffled_by_randomly_are_deployed_once_each(face: Face, install: Install) -> None:
    pytest_ = install(*MANY) / "pytest"
    for name in ("one", "two"):
        face.board(name, 'extends = "localhost"')
    face.write(test_it=TEST, test_other=TEST)
    command(pytest_, "--board=one", "--board=two", ".", "-p", "randomly", "-p", "no:cacheprovider", cwd=face.path)
    assert sorted(face.deployments()) == ["one", "two"]


@pytest.mark.parametrize(
    "requirements, option",
    [(("labgrid",), "--lg-env"), (("pytest-embedded", "pytest-embedded-serial"), "--embedded-services")],
    ids=["labgrid", "pytest-embedded"],
)
def test_beside_plugins_that_clash_elsewhere(
    face: Face, install: Install, requirements: tuple[str, ...], option: str
) -> None:
    pytest_ = install(*requirements) / "pytest"
    said = command(pytest_, "--help", cwd=face.path)
    assert "--board" in said
    assert option in said
    face.write(test_it=TEST)
    command(pytest_, "--board=localhost", "test_it.py", "--command=true", cwd=face.path)
    assert len(face.results()["test-it.py"]) == 3
    face.check_bundle()
