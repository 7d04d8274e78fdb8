from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import pytest

from pytest_lava.results.run_folders import claimed, name_of_now, names


def test_runs_that_begin_at_once_have_folders_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: claimed(tmp_path / "runs", "a"), range(24)))
    assert sorted(found) == sorted(islice(names(tmp_path / "runs", "a"), 24))
    assert all(folder.is_dir() for folder in found)


def test_a_place_that_takes_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        claimed(tmp_path / "runs", "a")


def test_names_sort_by_time() -> None:
    assert re.fullmatch(r"\d{8}-\d{6}-q1", name_of_now("q1"))
