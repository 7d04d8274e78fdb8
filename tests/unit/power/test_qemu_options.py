from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError, PowerError
from pytest_lava.events import EventLog
from pytest_lava.lab.guardian import Guardian
from pytest_lava.power._qemu_process import _die_with_us
from pytest_lava.power.api import PowerContext, ProvidesConsole, TakesMedia
from pytest_lava.power.qemu import QemuMachine, kvm_usable
from pytest_lava.power.qmp import Qmp


@pytest.fixture
def context(tmp_path: Path) -> Iterator[PowerContext]:
    with Guardian() as guardian:
        yield PowerContext("emu", tmp_path, guardian, EventLog())


def machine(context: PowerContext, **options: object) -> QemuMachine:
    return QemuMachine(QemuMachine.Options.model_validate({"machine": "virt", **options}), context)


@pytest.mark.parametrize(
    ("binary", "package"),
    [
        ("qemu-system-aarch64", "qemu-system-arm"),
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("qemu-system-new", "qemu-system"),
    ],
)
def test_missing_qemu_names_the_package(
    context: PowerContext, binary: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ConfigurationError) as caught:
        machine(context, binary=binary).check()
    assert str(caught.value) == (f"QEMU is not installed: {binary} was not found; on Debian: apt-get install {package}")


def test_missing_firmware(context: PowerContext) -> None:
    (context.folder / "qemu-system-aarch64").touch(0o755)
    board = machine(context, binary="./qemu-system-aarch64", bios="/usr/lib/u-boot/qemu_other/u-boot.bin")
    with pytest.raises(ConfigurationError, match=r"u-boot\.bin; on Debian: apt-get install u-boot-qemu"):
        board.check()


def test_no_accelerator(context: PowerContext) -> None:
    (context.folder / "qemu-system-s390x").touch(0o755)
    with pytest.raises(ConfigurationError, match='add "tcg"'):
        machine(context, binary="./qemu-system-s390x", accel=["kvm"]).check()


def test_kvm_is_for_the_same_architecture() -> None:
    assert not kvm_usable("qemu-system-s390x")


def test_seams(context: PowerContext) -> None:
    board = machine(context)
    assert isinstance(board, ProvidesConsole)
    assert isinstance(board, TakesMedia)
    with pytest.raises(PowerError, match="switch it on first"):
        board.console()
    board.off(Deadline.after(1))


@pytest.mark.parametrize("options", [{}, {"machine": "virt", "smp": 0}, {"machine": "virt", "cpus": 2}])
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        QemuMachine.Options.model_validate(options)


def test_qmp_server_that_never_answers() -> None:
    ours, theirs = socket.socketpair()
    qmp = Qmp(ours)
    with pytest.raises(PowerError, match="did not answer its greeting in time"):
        qmp.pause(Deadline.after(0.1))
    theirs.close()
    with pytest.raises(PowerError, match="has ended before it answered"):
        qmp.pause(Deadline.after(0.1))
    qmp.close()


def test_qmp_in_small_pieces_with_events_and_late_answers() -> None:
    ours, theirs = socket.socketpair()
    qmp = Qmp(ours)
    talk = (
        b'{"QMP": {"version": {}, "capabilities": []}}\r\n{"return": {}, "id": 1}\r\n'
        b'{"event": "STOP", "timestamp": {}}\r\n{"return": {"late": 1}, "id": 0}\r\n'
        b'{"return": {"status": "x"}, "id": 2}\r\n'
    )

    def drip() -> None:
        for byte in talk:
            theirs.send(bytes([byte]))

    thread = threading.Thread(target=drip)
    thread.start()
    assert qmp.execute("query-status", Deadline.after(5)) == {"status": "x"}
    thread.join()
    qmp.close()
    theirs.close()


def test_a_machine_whose_starter_is_gone_by_then_does_not_start() -> None:
    prefix = _die_with_us()
    assert subprocess.run([*prefix, "echo", "on"], capture_output=True, check=True).stdout == b"on\n"
    assert subprocess.run([*prefix[:-1], "1", "echo", "on"], capture_output=True, check=False).stdout == b""
