"""One step of a preparation in a process of its own, to be killed or starved; it says how it ended.

STEP CACHE SOURCE BASE

Here and not in a string of a test, so that what is read is what runs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pytest_lava.deadline import Deadline
from pytest_lava.errors import describe
from pytest_lava.images.artefact import Artefact
from pytest_lava.images.fetch import Fetcher
from pytest_lava.images.housekeeping import Room
from pytest_lava.images.kernel_file import file_source
from pytest_lava.images.kernel_parts import Workshop
from pytest_lava.images.media import boot_medium
from pytest_lava.images.shelf import Shelf
from pytest_lava.inject.additions import parse_addition
from pytest_lava.inject.disks import volumes
from pytest_lava.inject.inject import inject


def main(step: str, cache: Path, source: str, base: Path) -> Path:
    """What the step gave."""
    deadline = Deadline.after(60)
    shelf = Shelf(cache, Room(cache))
    fetcher = Fetcher(cache, shelf.store, room=shelf.room)
    match step:
        case "fetch":
            return fetcher.fetch(Artefact.parse(source), unpack=True, deadline=deadline).path
        case "unpack":
            return file_source(Artefact.parse(source), cache).parts(Workshop(fetcher, shelf, deadline)).kernel
        case "inject":
            wanted = parse_addition("--file", f"{source}:/srv")
            return inject(base, volumes(base)[0], [wanted], shelf, deadline=deadline).path
        case _:
            return boot_medium({"Image": Path(source)}, shelf, deadline=deadline)


if __name__ == "__main__":
    print("begins", flush=True)
    try:
        found = main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
        print(json.dumps(["", "", str(found)]))
    except Exception as error:
        info = describe(error)
        print(json.dumps([info.type, info.blame, info.message]))
