"""What tests of several rooms share."""

from __future__ import annotations

import pytest
from support.face import Face
from support.order import longest_first
from support.soak import SOAK, VARIANTS

from pytest_lava.images.cache import cache_dir

CACHE = cache_dir()  # before pytester changes HOME


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only the soak runs; it is counted as deselected. Who names a test gets it."""
    if hasattr(config, "workerinput"):
        longest_first(items, _name)
    if SOAK or any("::" in word for word in config.args):
        return
    left = [item for item in items if _name(item).startswith(VARIANTS)]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def _name(item: pytest.Item) -> str:
    return item.nodeid.removeprefix("tests/")


@pytest.fixture
def face(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Face:
    """A user's empty folder. Downloads are shared with this machine's user, locks and board files are not."""
    monkeypatch.setenv("PYTEST_LAVA_CACHE", str(CACHE))
    monkeypatch.setenv("PYTEST_LAVA_LOCKS", str(tmp_path_factory.mktemp("locks")))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "CI"):
        monkeypatch.delenv(name, raising=False)
    return Face(pytester)
