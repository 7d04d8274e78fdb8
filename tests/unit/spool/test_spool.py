"""The spool on real disks: whole items only, damage set aside, clocks that jump, two processes, no room."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.faultserver import fault_proxy
from support.finishedrun import finished_run
from support.receiver import receiver
from support.submitting import Submitter

from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError, InfrastructureError
from pytest_lava.registry import Registry
from pytest_lava.sinks.api import Parcel, Receipt, Results
from pytest_lava.sinks.choosing import SinkChoice, SinkChooser
from pytest_lava.sinks.folder import FileSink
from pytest_lava.sinks.secrets import FoundSecrets
from pytest_lava.sinks.settings import Settings
from pytest_lava.spool.item import Item, State
from pytest_lava.spool.lock import FolderLock
from pytest_lava.spool.sending import Outcome, Sender, pause_after
from pytest_lava.spool.store import Spool

NOWHERE = "http://127.0.0.1:1/bundles"


class Bench:
    """A spool, and what puts runs into it; ``clock`` is its wall clock."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, 1_000_000.0
        self.secrets = FoundSecrets({}, home=folder, keyring=False)
        self.registry = Registry()
        self.spool = Spool(folder / "spool", self.secrets.mask, now=lambda: self.clock)
        self.count = 0

    def choices(self, *texts: str) -> tuple[SinkChoice, ...]:
        return SinkChooser(Settings([]), self.registry, self.secrets, self.folder).choose(texts)

    def add(self, *texts: str) -> Item:
        self.count += 1
        (item,) = self.spool.add(finished_run(self.folder / f"run{self.count}"), self.choices(*texts))
        return item

    def send(self, item: Item, **how: bool) -> list[Outcome]:
        return Sender(self.spool, self.registry, self.secrets).send(item, Deadline.after(5), **how)

    def where(self) -> dict[str, int]:
        return {place: len(self.spool.items(place)) for place in ("new", "sent", "failed")}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_from_new_to_sent(bench: Bench) -> None:
    item = bench.add("./out", "junit:xml")
    assert (item.place, bench.where()) == ("new", {"new": 1, "sent": 0, "failed": 0})
    assert [entry.name for entry in item.entries] == ["file-out", "junit-xml"]
    assert [outcome.status for outcome in bench.send(item)] == ["sent", "sent"]
    assert bench.where() == {"new": 0, "sent": 1, "failed": 0}
    assert (bench.folder / "out" / item.uuid / "bundle.json").read_bytes() == (
        bench.folder / "run1" / "bundle.json"
    ).read_bytes()


def test_it_is_for_its_owner_only(bench: Bench) -> None:
    bench.add("./out")
    assert (bench.spool.folder / "new").stat().st_mode & 0o077 == 0


def test_a_run_is_kept_once_for_each_sink(bench: Bench) -> None:
    """However often it is submitted: to a sink that has it, waits for it, or refused it."""
    results = finished_run(bench.folder / "run")
    (first,) = bench.spool.add(results, bench.choices("./out", NOWHERE))
    bench.send(first)
    again = bench.spool.add(results, bench.choices("./out", NOWHERE, "junit:xml"))
    assert [one.entries[0].name for one in again] == ["file-out", "junit-xml"]
    assert again[0].name == first.name
    assert bench.where() == {"new": 2, "sent": 0, "failed": 0}
    assert [outcome.status for outcome in bench.send(again[1])] == ["sent"]
    (sent,) = bench.spool.add(results, bench.choices("junit:xml"))
    assert (sent.place, [outcome.status for outcome in bench.send(sent)]) == ("sent", ["sent"])


def test_what_was_refused_is_kept_with_its_reason_and_may_be_tried_again(bench: Bench) -> None:
    with receiver(bench.folder / "server") as server:
        server.says = 422, b"no such project"
        item = bench.add(server.url())
        (refused,) = bench.send(item)
        assert (refused.status, refused.tries, bench.where()["failed"]) == ("failed", 1, 1)
        assert "no such project" in refused.reason
        assert [one.status for one in bench.send(refused.item, at_once=True)] == ["failed"]  # not by itself
        assert server.posts == 1
        server.says = None
        retried = bench.spool.retry(refused.item)
        assert retried.place == "new"
        assert [one.status for one in bench.send(retried)] == ["sent"]


def test_pauses_grow_to_an_hour_and_servers_may_ask_for_more() -> None:
    for chance in (0.0, 0.5, 1.0):
        pauses = [pause_after(number, None, lambda chance=chance: chance) for number in range(1, 30)]  # type: ignore[misc]
        assert pauses == sorted(pauses)
        assert pauses[0] == 0.5 + chance / 2
        assert pauses[-1] == 3600 * (0.5 + chance / 2)
    assert pause_after(1, 90.0) == 90.0
    assert pause_after(1, 1e9) == 86400.0
    assert pause_after(1000, 0.0) <= 3600


def test_retry_after_is_heeded(bench: Bench) -> None:
    with receiver(bench.folder / "server") as server:
        server.says = 503, b"later"
        item = bench.add(server.url())
        (waiting,) = bench.send(item)
        assert waiting.status == "waiting"
        assert 0 < waiting.pause <= 1
        (entry,) = item.entries
        item.write_state(entry, State(tries=1, tried=bench.clock, pause=500.0))
        bench.clock += 499
        bench.send(item)
        assert server.posts == 1
        bench.clock += 1
        bench.send(item)
        assert server.posts == 2


def test_a_clock_that_jumps_delays_nothing(bench: Bench) -> None:
    """Set back by a year, a pause must not last a year; set forward, a try comes early."""
    dice = random.Random(7)
    for _ in range(200):
        state = State(tries=3, tried=bench.clock, pause=dice.uniform(0, 3600))
        assert not state.due(bench.clock) or not state.pause
        assert state.due(bench.clock - dice.uniform(0.001, 1e9))
        assert state.due(bench.clock + state.pause + dice.uniform(0, 1e9))
    item = bench.add("./out")
    item.write_state(item.entries[0], State(tries=1, tried=bench.clock, pause=3600.0))
    assert item.next_try(bench.clock) == 3600.0
    bench.clock -= 31536000
    assert item.next_try(bench.clock) == 0.0
    assert [outcome.status for outcome in bench.send(item)] == ["sent"]


def test_items_whose_clock_was_wrong_do_not_share_a_name(bench: Bench) -> None:
    results = finished_run(bench.folder / "run")
    bench.spool.add(results, bench.choices("./a"))
    bench.spool.add(results, bench.choices("./b"))
    assert len({item.name for item in bench.spool.items()}) == 2


def _torn(item: Item) -> None:
    path = item.folder / "item.json"
    path.write_bytes(path.read_bytes()[:40])


def _zeroed(item: Item) -> None:
    path = item.folder / "item.json"
    path.write_bytes(bytes(path.stat().st_size))


def _of_another_version(item: Item) -> None:
    (item.folder / "item.json").write_text('{"v": 2}')


def _without_list(item: Item) -> None:
    (item.folder / "item.json").write_text("[]")


def _gone(item: Item) -> None:
    (item.folder / "item.json").unlink()


@pytest.mark.parametrize(
    "damage, why",
    [
        (_torn, "torn"),
        (_zeroed, "torn"),
        (_of_another_version, "update it"),
        (_without_list, "torn"),
        (_gone, "No such"),
    ],
)
def test_a_damaged_item_is_set_aside_and_stops_no_other(bench: Bench, damage: Callable[[Item], None], why: str) -> None:
    damaged, good = bench.add("./out"), bench.add("./out")
    damage(damaged)
    for item in bench.spool.items():
        bench.send(item)
    assert bench.where() == {"new": 0, "sent": 1, "failed": 1}
    (aside,) = bench.spool.items("failed")
    assert aside.name == damaged.name
    assert why in aside.damage
    assert (aside.folder / "parcels/file-out/bundle.json").is_file()  # nothing of it is lost
    assert (bench.folder / "out" / good.uuid).is_dir()
    with pytest.raises(ConfigurationError, match="damaged"):
        bench.spool.retry(aside)


@pytest.mark.parametrize("flip", ["bit", "cut", "more", "less"])
def test_bytes_that_changed_are_not_sent(bench: Bench, flip: str) -> None:
    item = bench.add("./out", "junit:xml")
    path = item.folder / "parcels/file-out/bundle.json"
    data = path.read_bytes()
    if flip == "bit":
        path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    elif flip == "cut":
        path.write_bytes(data[:-1])
    elif flip == "more":
        path.with_name("core").write_bytes(b"")
    else:
        path.unlink()
    file, junit = bench.send(item)
    assert (file.status, junit.status) == ("failed", "sent")
    assert "is not what was written" in file.reason
    assert f"pytest-lava submit {bench.folder / 'run1'}" in file.reason
    assert not (bench.folder / "out" / item.uuid).exists()
    (anew,) = bench.spool.add(Results(item.uuid, bench.folder / "run1", bench.folder / "run1" / "bundle.json"),
                              bench.choices("./out"))  # fmt: skip
    assert [one.status for one in bench.send(anew)] == ["sent"]
    assert (bench.folder / "out" / item.uuid / "bundle.json").read_bytes() == data


def test_what_could_not_be_packed_stops_no_other_sink(bench: Bench) -> None:
    """And is packed anew when the run is submitted once more."""
    results = finished_run(bench.folder / "run")
    xml = results.folder / "junit.xml"

    class Odd:
        name = "odd"
        Options = FileSink.Options

        def pack(self, results: Results, folder: Path) -> None:
            if not xml.with_name("fine").exists():
                raise KeyError("of a driver")
            (folder / "what").write_bytes(b"it is")

        def send(self, parcel: Parcel, deadline: Deadline) -> Receipt:
            return Receipt((parcel.folder / "what").read_text())

    odd = SinkChoice("odd", "odd", Odd(), FileSink.Options(url=str(bench.folder / "odd")))
    (item,) = bench.spool.add(results, (odd, *bench.choices("./out")))
    assert [(one.status, one.reason) for one in bench.send(item)] == [
        ("failed", "it could not be packed: KeyError: 'of a driver'"), ("sent", "")
    ]  # fmt: skip
    assert bench.where() == {"new": 0, "sent": 0, "failed": 1}
    xml.with_name("fine").touch()
    (anew,) = bench.spool.add(results, (odd,))
    assert (anew.place, anew.name == item.name) == ("new", False)


def test_a_torn_state_is_a_new_one(bench: Bench) -> None:
    with receiver(bench.folder / "server") as server:
        item = bench.add(server.url())
        (item.folder / "state" / f"{item.entries[0].name}.json").write_bytes(b'{"status": "se')
        assert [outcome.status for outcome in bench.send(item)] == ["sent"]
        for nonsense in (b'{"status": "waiting", "tried": "x"}', b"[]", b'{"what": 1}', b"\0" * 99):
            (bench.spool.folder / "sent" / item.name / "state" / f"{item.entries[0].name}.json").write_bytes(nonsense)
            assert bench.spool.items("sent")[0].states()[0][1] == State()


def test_strange_things_in_the_spool_hurt_nobody(bench: Bench) -> None:
    item = bench.add("./out")
    (bench.spool.folder / "new" / "notes.txt").write_text("mine")
    (bench.spool.folder / "new" / ".hidden").mkdir()
    (bench.spool.folder / "new" / "lost+found").mkdir()
    for one in bench.spool.items():
        bench.send(one)
    assert (bench.folder / "out" / item.uuid).is_dir()
    assert bench.where() == {"new": 0, "sent": 1, "failed": 1}
    assert (bench.spool.folder / "new" / "notes.txt").exists()


def test_a_driver_that_is_gone_leaves_its_item_waiting(bench: Bench) -> None:
    item = bench.add("./out")
    path = item.folder / "item.json"
    path.write_text(path.read_text().replace('"kind": "file"', '"kind": "ours"'))
    (outcome,) = bench.send(bench.spool.items()[0])
    assert (outcome.status, bench.where()["new"]) == ("waiting", 1)
    assert "unknown sink method 'ours'" in outcome.reason


def test_a_sink_that_hangs_takes_nothing_from_the_others(bench: Bench) -> None:
    with receiver(bench.folder / "server") as server, fault_proxy(server.address, "hang") as proxy:
        item = bench.add(proxy.url(), "./out", NOWHERE)
        sender = Sender(bench.spool, bench.registry, bench.secrets)
        hanging, out, refusing = sender.send(item, Deadline.after(1.0))
    assert (hanging.status, out.status, refusing.status) == ("waiting", "sent", "waiting")
    assert "did not answer in time" in hanging.reason
    assert "Connection refused" in refusing.reason


def test_an_item_that_somebody_has_is_left_alone(bench: Bench) -> None:
    item = bench.add("./out")
    lock = FolderLock.take(item.folder)
    assert lock is not None
    (outcome,) = Sender(bench.spool, bench.registry, bench.secrets).send(item, Deadline.after(0.3))
    assert (outcome.status, outcome.reason) == ("waiting", "another process is sending it")
    for change in (bench.spool.drop, bench.spool.retry):
        with pytest.raises(ConfigurationError, match="another process"):
            change(item)
    lock.release()
    assert [one.status for one in bench.send(item)] == ["sent"]


def test_a_spool_that_somebody_holds_ends_the_wait(bench: Bench) -> None:
    bench.add("./out")
    spool = Spool(bench.spool.folder, patience=0.2)
    held = FolderLock.take(spool.folder)
    assert held is not None
    with held, pytest.raises(InfrastructureError, match="another process has held the spool"):
        spool.add(finished_run(bench.folder / "late"), bench.choices("./out"))
    assert len(spool.add(finished_run(bench.folder / "later"), bench.choices("./out"))) == 1


def test_two_processes_at_once_send_each_item_once(tmp_path: Path) -> None:
    desk, other = Submitter(tmp_path), Submitter(tmp_path)
    with receiver(tmp_path / "server") as server:
        server.says = 503, b""
        for number in range(8):
            finished_run(tmp_path / f"run{number}", tests=1)
            assert desk.run("submit", f"run{number}", "--to", server.url(), "--wait", "0.1")[0] == 69
        server.says, server.posts = None, 0
        processes = [one.start("submit", "--all", name=name) for one, name in ((desk, "a"), (other, "b"))]
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes] == [0, 0]
        assert (server.posts, server.created, len(server.stored)) == (8, 8, 8)
        assert len(desk.places()["sent"]) == 8


def test_only_what_was_sent_is_ever_removed(bench: Bench) -> None:
    old = bench.add("./out")
    waiting = bench.add(NOWHERE)
    bench.send(old)
    bench.send(waiting)
    bench.clock += 29 * 86400
    assert bench.spool.prune() == []
    bench.clock += 2 * 86400
    new = bench.add("./out")
    bench.send(new)
    assert bench.spool.prune() == [old.name]
    assert bench.where() == {"new": 1, "sent": 1, "failed": 0}
    assert bench.spool.prune(size=10) == [new.name]
    assert bench.where() == {"new": 1, "sent": 0, "failed": 0}


NO_ROOM = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from support.faultserver import fault_proxy
from support.finishedrun import finished_run
from pytest_lava.cli import main
folder = Path(sys.argv[1])
results = finished_run(folder.parent / "run", output="x" * 3_000_000)
to, spool = str(folder.parent / "out"), str(folder / "spool")
status = main(["submit", str(results.folder), "--to", to, "--lava-spool", spool])
left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
print(status, left, (results.folder / "bundle.json").stat().st_size)
"""


def test_no_room_for_it(tmp_path: Path) -> None:
    """A real full disk: a tmpfs in a mount namespace of its own, so nothing is left mounted."""
    small = tmp_path / "small"
    small.mkdir()
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size=1m none {small} && exec "$0" -c "$@"',
         sys.executable, NO_ROOM, str(small), *sys.path],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert f"the spool {small}/spool cannot be written (No space left on device): make room there" in done.stderr
    assert done.stdout.startswith("69 ['spool', 'spool/failed', 'spool/new', 'spool/sent', 'spool/tmp'] "), done.stdout
    assert int(done.stdout.split()[-1]) > 3_000_000
    assert not (tmp_path / "out").exists()


def test_a_spool_that_cannot_be_made(bench: Bench) -> None:
    bench.spool.folder.write_text("a file is in the way")
    with pytest.raises(InfrastructureError, match=r"cannot be written \(Not a directory\): mend that, or choose"):
        bench.add("./out")


def test_what_a_killed_process_was_making_is_cleared(bench: Bench) -> None:
    bench.add("./out")
    left = bench.spool.folder / "tmp" / "left"
    left.mkdir()
    held = bench.spool.folder / "tmp" / "held"
    held.mkdir()
    with FolderLock.take(held):  # type: ignore[union-attr]
        bench.add("./out")
        assert (left.exists(), held.exists()) == (False, True)


def test_the_stored_item_tells_no_secret(bench: Bench) -> None:
    item = bench.add("http://user:s3cr3t@127.0.0.1:1/x")
    bench.send(item)
    for path in bench.spool.folder.rglob("*"):
        assert not path.is_file() or b"s3cr3t" not in path.read_bytes()
    stored = json.loads((item.folder / "item.json").read_text())
    assert stored["sinks"][0]["options"]["user"] == "user"


def test_watching_sends_what_is_due_until_it_is_interrupted(tmp_path: Path) -> None:
    """Each try is told, also of what comes into the spool meanwhile."""
    desk, program = Submitter(tmp_path), Path(sys.executable).parent / "pytest-lava"
    with receiver(tmp_path / "server") as server, fault_proxy(server.address, "503", "500") as proxy:
        results = finished_run(tmp_path / "run")
        assert desk.run("submit", "run", "--to", proxy.url(), "--wait", "0.2")[0] == 69
        watch = [str(program), "submit", "--watch", f"--lava-spool={desk.spool}"]
        with subprocess.Popen(watch, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            lines = [process.stdout.readline()]
            while lines[-1].startswith("waiting "):  # once, or twice where the first command had no time for a try
                lines.append(process.stdout.readline())
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
    assert lines[0].startswith(f"waiting  {results.uuid[:8]} http-127.0.0.1: ")
    assert lines[-1].startswith(f"sent     {results.uuid[:8]} http-127.0.0.1: ")
    assert server.created == 1
