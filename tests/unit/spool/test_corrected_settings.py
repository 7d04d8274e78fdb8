"""What waits in the spool goes where its table says today: a URL that was corrected meanwhile holds for it too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.finishedrun import finished_run
from support.receiver import Receiver, receiver

from pytest_lava.deadline import Deadline
from pytest_lava.registry import Registry
from pytest_lava.sinks.api import Results
from pytest_lava.sinks.choosing import SinkChoice, SinkChooser, made_from
from pytest_lava.sinks.secrets import FoundSecrets
from pytest_lava.sinks.settings import FILE, Settings
from pytest_lava.spool.item import ITEM, STATE, Item
from pytest_lava.spool.sending import Outcome, Sender
from pytest_lava.spool.store import Spool

NOWHERE = "http://127.0.0.1:1/bundles"


class Project:
    """A folder with ``pytest-lava.toml``, a run, and a spool."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / FILE
        self.secrets, self.registry = FoundSecrets({}, home=folder, keyring=False), Registry()
        self.spool = Spool(folder / "spool", self.secrets.mask)
        self.results: Results = finished_run(folder / "run")

    def settings(self, url: str, more: str = "", *, kind: str = "http", name: str = "hook") -> None:
        self.file.write_text(f'[sinks.{name}]\nkind = "{kind}"\nurl = "{url}"\n{more}')

    def choice(self) -> SinkChoice:
        chooser = SinkChooser(Settings([self.file]), self.registry, self.secrets, self.folder)
        return chooser.choose(["hook"])[0]

    def add(self) -> Item:
        (item,) = self.spool.add(self.results, [self.choice()])
        return item

    def send(self, item: Item) -> Outcome:
        (outcome,) = Sender(self.spool, self.registry, self.secrets).send(item, Deadline.after(5), at_once=True)
        return outcome


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Receiver]:
    with receiver(tmp_path / "server") as server:
        yield server


def test_a_corrected_url_reaches_what_waits(project: Project, server: Receiver) -> None:
    project.settings(NOWHERE)
    item = project.add()
    assert (project.send(item).status, project.send(item).where) == ("waiting", NOWHERE)
    project.settings(server.url("/right"))
    outcome = project.send(item)
    assert (outcome.status, outcome.entry.url) == ("sent", server.url("/right"))
    assert server.stored == {item.uuid: project.results.bundle.read_bytes()}


def test_one_that_failed_is_found_again_by_its_run(project: Project, server: Receiver) -> None:
    """Submitted once more it is the same item, and not a second one."""
    server.says = 404, b""
    project.settings(server.url("/wrong"))
    assert project.send(item := project.add()).status == "failed"
    server.says = None
    project.settings(server.url("/right"))
    again = project.add()
    assert again.name == item.name
    assert project.send(again).status == "sent"
    assert [len(project.spool.items(place)) for place in ("new", "failed", "sent")] == [0, 0, 1]


def test_what_packing_depends_on_makes_a_new_item(project: Project) -> None:
    folder = project.folder / "out"
    project.settings(str(folder), kind="file")
    item = project.add()
    project.settings(str(folder), "logs = true\n", kind="file")
    assert project.add().name != item.name


def test_how_far_one_server_came_says_nothing_of_another(project: Project, server: Receiver, tmp_path: Path) -> None:
    server.says = 409, b"busy"
    project.settings(server.url())
    item = project.add()
    assert project.send(item).status == "waiting"
    assert item.states()[0][1].progress == {"conflicts": "1"}
    assert project.send(item).status == "waiting"
    assert item.states()[0][1].progress == {"conflicts": "2"}
    with receiver(tmp_path / "other") as other:
        other.says = 503, b"later"
        project.settings(other.url())
        assert project.send(item).status == "waiting"
        entry, state = item.states()[0]
        assert (state.progress, entry.url) == ({}, other.url())
    assert json.loads((item.folder / ITEM).read_bytes())["sinks"][0]["options"]["url"] == server.url()


@pytest.mark.parametrize("how", ["the file is gone", "the table is gone", "it is of another kind"])
def test_without_its_table_it_goes_as_it_was(project: Project, server: Receiver, how: str) -> None:
    project.settings(server.url())
    item = project.add()
    if how == "the file is gone":
        project.file.unlink()
    elif how == "the table is gone":
        project.settings(NOWHERE, name="other")
    else:
        project.settings(str(project.folder / "elsewhere"), kind="file")
    assert project.send(item).status == "sent"
    assert item.uuid in server.stored


def test_a_mistake_there_is_told_and_nothing_is_lost(project: Project, server: Receiver) -> None:
    project.settings(server.url())
    item = project.add()
    project.settings(server.url(), "htlm = true\n")
    outcome = project.send(item)
    assert outcome.status == "waiting"
    assert outcome.reason.startswith(f"{project.file}:4: ")
    assert "did you mean 'html'?" in outcome.reason
    project.settings(server.url())
    assert project.send(item).status == "sent"


def test_a_url_of_the_command_line_stays_as_it_was(project: Project, server: Receiver) -> None:
    """Whatever a table of the same name says: it was not meant."""
    chooser = SinkChooser(Settings([]), project.registry, project.secrets, project.folder)
    (item,) = project.spool.add(project.results, chooser.choose([server.url()]))
    project.settings(NOWHERE, name=item.entries[0].name)
    assert project.send(item).status == "sent"


def test_an_item_of_an_older_version_has_no_file(project: Project, server: Receiver) -> None:
    project.settings(server.url())
    item = project.add()
    about = json.loads((item.folder / ITEM).read_bytes())
    del about["sinks"][0]["settings"]
    (item.folder / ITEM).write_text(json.dumps(about))
    project.settings(NOWHERE)
    (old,) = project.spool.items()
    assert (old.damage, project.send(old).status) == ("", "sent")


def test_a_state_of_a_newer_version_is_no_torn_one(project: Project) -> None:
    project.settings(NOWHERE)
    item = project.add()
    project.send(item)
    path = item.folder / STATE / "hook.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "colour": "red"}))
    assert item.states()[0][1].tries == 1


def test_the_run_folder_goes_by_the_table_too(project: Project) -> None:
    """``pytest-lava submit RUNFOLDER`` makes its sinks of what the journal has."""
    project.settings(NOWHERE)
    stored = project.choice().as_json
    project.settings("http://right.example/bundles")
    assert made_from(stored, project.registry, project.secrets).url == "http://right.example/bundles"
