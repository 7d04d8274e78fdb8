"""The wheel in virtual environments of its own: alone, beside many plugins, and beside those that clash elsewhere.

The environments are kept in the cache folder, one for each list of requirements; only the wheel is installed anew.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
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


def venv(*requirements: str) -> Path:
    """A virtual environment with these requirements, made at its first use."""
    key = hashlib.sha256(repr((sys.version, requirements)).encode()).hexdigest()[:12]
    folder = VENVS / f"{requirements[0] if requirements else 'empty'}-{key}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        command(sys.executable, "-m", "venv", folder)
        if requirements:
            command(folder / "bin/pip", "install", "-q", *requirements)
        (folder / "complete").touch()
    return folder


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = venv("hatchling") / "bin/pip"
    command(pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, CHECKOUT)
    (found,) = folder.glob("pytest_lava-*.whl")
    return found


def with_wheel(wheel: Path, *requirements: str) -> Path:
    """The ``bin`` folder of an environment that has the wheel, too."""
    programs = venv(*requirements) / "bin"
    command(programs / "pip", "install", "-q", wheel)
    command(programs / "pip", "install", "-q", "--no-deps", "--force-reinstall", wheel)
    return programs


def test_the_wheel_alone(face: Face, wheel: Path) -> None:
    programs = with_wheel(wheel)
    command(programs / "pytest", "--board=localhost", "--command", "true", cwd=face.path)
    assert face.results()["true"]["true"]["result"] == "pass"
    face.check_bundle()
    command(programs / "pytest", "--board=localhost", "--lava-dir=smoke", cwd=face.path)
    assert "qemu-arm64" in command(programs / "pytest-lava", "boards", cwd=face.path)
    assert "boards" in command(programs / "pytest-lava", "--help", cwd=face.path)


def test_the_shipped_tests_run_from_a_venv_inside_the_project(face: Face, wheel: Path) -> None:
    (face.path / ".venv").symlink_to(with_wheel(wheel).parent)
    (face.path / "pytest.ini").write_text("[pytest]\n")
    said = command(face.path / ".venv/bin/pytest", "--board=localhost", cwd=face.path)
    assert "test_smoke.py" in said


def test_beside_many_plugins(face: Face, wheel: Path) -> None:
    pytest_ = with_wheel(wheel, *MANY) / "pytest"
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


def test_a_dead_board_is_not_tried_again_for_each_rerun(face: Face, wheel: Path) -> None:
    pytest_ = with_wheel(wheel, *MANY) / "pytest"
    face.board("dead", 'extends = "localhost"\nconsole = "exec:sleep 60"\n[timeouts]\nkernel = 0.5\nlogin = 0.5\n')
    face.write(test_it=TEST)
    done = subprocess.run([pytest_, "--board=dead", "test_it.py", "--reruns=2"], cwd=face.path, check=False)
    assert done.returncode == 69
    assert [line["nodeid"] for line in face.journal() if line["outcome"] == "failed"] == ["boot::dead"]
    face.check_bundle()


def test_two_boards_shuffled_by_randomly_are_deployed_once_each(face: Face, wheel: Path) -> None:
    pytest_ = with_wheel(wheel, *MANY) / "pytest"
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
    face: Face, wheel: Path, requirements: tuple[str, ...], option: str
) -> None:
    pytest_ = with_wheel(wheel, *requirements) / "pytest"
    said = command(pytest_, "--help", cwd=face.path)
    assert "--board" in said
    assert option in said
    face.write(test_it=TEST)
    command(pytest_, "--board=localhost", "test_it.py", "--command=true", cwd=face.path)
    assert len(face.results()["test-it.py"]) == 3
    face.check_bundle()
