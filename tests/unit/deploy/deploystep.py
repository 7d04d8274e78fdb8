"""One deployment in a process of its own, so that its disk can be a small one; it says how it ended.

KIND FOLDER SOURCE: ``tftp`` serves SOURCE from FOLDER, ``overlay`` makes a drive of it there, ``flash`` copies it there
by a program.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from pytest_lava.deadline import Deadline
from pytest_lava.deploy.api import DeployContext
from pytest_lava.deploy.command import CommandDeploy
from pytest_lava.deploy.drives import Drive, Drives
from pytest_lava.deploy.scratch import Scratch
from pytest_lava.deploy.tftp_folder import TftpFolder
from pytest_lava.errors import describe, of_this_machine
from pytest_lava.events import EventLog
from pytest_lava.images.shelf import Shelf
from pytest_lava.lab.guardian import Guardian
from pytest_lava.plan import ImagePlan
from pytest_lava.power.api import PowerContext
from pytest_lava.power.none import NoPower


def main(kind: str, folder: Path, source: Path) -> None:
    limit = Deadline.after(60)
    with Guardian() as guardian:
        if kind == "tftp":
            server = TftpFolder(folder, guardian)
            try:
                server.put("board/kernel", source)
            finally:
                server.clear()
        elif kind == "overlay":
            scratch = Scratch(guardian)
            try:
                Drives(scratch, keep=True).arguments("root", Drive(device="virtio-blk-pci"), source, limit)
            finally:
                scratch.clear()
        else:
            power = NoPower(NoPower.Options(), PowerContext("b", folder, guardian, EventLog()))
            options = CommandDeploy.Options(commands=(f"dd if={{image}} of={folder}/flash bs=64k",))
            context = DeployContext("b", folder, power, EventLog(), guardian, Shelf(source.parent / "cache"))
            CommandDeploy(options, context).deploy(None, ImagePlan("i", {"": source}), limit)


if __name__ == "__main__":
    if sys.argv[1] != "flash":  # what the program says is kept elsewhere
        tempfile.tempdir = sys.argv[2]
    try:
        try:
            main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
        except OSError as error:  # as a board takes it
            raise of_this_machine(str(error), error) from error
        print(json.dumps(["", "", ""]))
    except Exception as error:
        info = describe(error)
        print(json.dumps([info.type, info.blame, info.message]))
