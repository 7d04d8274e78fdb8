"""Stages of LAVA jobs in a plan: which board, which files win, and how QEMU is to boot them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.boards import NobodyToGuard

from pytest_lava.boot.login import LoginBoot
from pytest_lava.config.boards import BoardFiles
from pytest_lava.config.paths import shipped
from pytest_lava.errors import ConfigurationError
from pytest_lava.images.artefact import Artefact
from pytest_lava.jobs.load import load_job
from pytest_lava.plan import RunPlan
from pytest_lava.planning.planner import Options, make_plan
from pytest_lava.registry import Registry

JOB = """\
device_type: qemu
job_name: x
timeouts: {job: {minutes: 5}, action: {minutes: 2}}
context: {arch: arm64, cpu: max, no_kvm: true}
actions:
- deploy:
    to: tmpfs
    images:
      kernel: {url: 'http://127.0.0.1/Image', image_arg: '-kernel {kernel} -append "console=ttyAMA0 root=/dev/vda"'}
      ramdisk: {url: 'http://127.0.0.1/initrd', image_arg: '-initrd {ramdisk} -m 1G'}
      rootfs:
        url: http://127.0.0.1/root.img
        image_arg: -drive if=none,file={rootfs},id=a -device usb-storage,drive=a
      other: {url: 'http://127.0.0.1/other.img', image_arg: '-drive file={other},format=raw'}
    modules: {url: 'http://127.0.0.1/modules.tar'}
- boot:
    method: qemu
    prompts: ['one', 'two']
    failure_retry: 4
    auto_login: {login_prompt: 'user:', username: me}
- test:
    definitions:
    - from: inline
      name: y
      path: y.yaml
      repository: {metadata: {format: Lava-Test Test Definition 1.0, name: y}, run: {steps: ['true']}}
"""


def plan(folder: Path, text: str = JOB, *, plain: bool = False, boards: str = "", **options: object) -> RunPlan:
    (folder / "job.yaml").write_text(text)
    job = load_job(folder / "job.yaml")
    assert job is not None
    own = folder / "boards"
    own.mkdir(exist_ok=True)
    for name in boards.split():
        (own / f"{name}.toml").write_text('extends = "localhost"\nlava_device_types = ["qemu", "mine"]\n')
    files = BoardFiles([own, shipped("boards")], Registry())
    return make_plan(Options(**options), files, folder, NobodyToGuard(), [job], plain=plain)  # type: ignore[arg-type]


def text_of(artefact: Artefact | None) -> str:
    return artefact.text if artefact else ""


def test_the_files_of_the_job_on_the_board_of_its_type(tmp_path: Path) -> None:
    (target,) = plan(tmp_path).targets
    assert (target.id, target.request.name) == ("qemu-arm64", "qemu-arm64")
    kernel, image = target.kernel, target.image
    assert kernel is not None
    assert image is not None
    assert (kernel.name, text_of(kernel.initrd), text_of(kernel.modules)) == (
        "Image", "http://127.0.0.1/initrd", "http://127.0.0.1/modules.tar",
    )  # fmt: skip
    assert kernel.append == "console=ttyAMA0 root=/dev/vda"
    assert set(image.parts) == {"rootfs", "other"}
    (board,) = target.request.candidates
    model = board.model
    assert board.boot.driver is LoginBoot
    assert (board.power.options.memory, board.power.options.cpu, board.power.options.bios) == ("1G", "max", None)
    assert board.power.options.accel == ("tcg",)
    assert (board.deploy.options.kernel, board.deploy.options.append) == (
        "direct",
        "console=ttyAMA0 sysrq_always_enabled",
    )
    assert {part: drive.device for part, drive in board.deploy.options.drives.items()} == {
        "rootfs": "usb-storage", "other": "virtio-blk-device",
    }  # fmt: skip
    prompt = re.compile(model.login.shell_prompt)
    assert [bool(prompt.search(text)) for text in ("x one", "two# ", "one\n# ", "# ", "one\nx", "#1 two\n")] == [
        True, True, True, True, False, False,
    ]  # fmt: skip
    assert (model.login.user, model.login.login_prompt) == ("me", "user:")
    assert (model.timeouts.deploy, model.timeouts.boot, model.retry.boot) == (120, 120, 4)


def test_what_options_say_wins(tmp_path: Path) -> None:
    url = "http://127.0.0.1/mine"
    (target,) = plan(tmp_path, kernels=(url,), append="debug", boot_timeout=7.0).targets
    assert target.kernel is not None
    assert (target.kernel.name, text_of(target.kernel.initrd)) == ("mine", "http://127.0.0.1/initrd")
    assert target.kernel.modules is None  # those of the job's own kernel
    assert target.kernel.append.endswith("root=/dev/vda debug")
    assert target.request.candidates[0].model.timeouts.boot == 7
    several = plan(tmp_path, kernels=(url, f"{url}2")).targets
    assert [one.id for one in several] == ["qemu-arm64-mine", "qemu-arm64-mine2"]
    assert {text_of(one.kernel.initrd) for one in several if one.kernel} == {"http://127.0.0.1/initrd"}
    assert len({one.job.story for one in several if one.job}) == 2
    (target,) = plan(tmp_path, images=("http://127.0.0.1/i.img",)).targets
    assert target.image is not None
    assert target.image.name == "i.img"


def test_boards_of_a_device_type(tmp_path: Path) -> None:
    bare = JOB[: JOB.index("- deploy")] + JOB[JOB.index("- boot") :].replace("method: qemu", "method: minimal")
    mine = bare.replace("device_type: qemu", "device_type: mine").replace("arch: arm64, ", "")
    (target,) = plan(tmp_path, mine, boards="a").targets
    assert target.request.name == "a"
    with pytest.raises(ConfigurationError, match="a, b all serve device type 'mine': choose one with --board"):
        plan(tmp_path, mine, boards="a b")
    with pytest.raises(ConfigurationError, match="no board file serves device type 'x86-box': add --board=NAME"):
        plan(tmp_path, mine.replace("device_type: mine", "device_type: x86-box"))
    with pytest.raises(ConfigurationError, match="the job names no 'device_type', so add --board=NAME"):
        plan(tmp_path, '{"actions": [{"command": "boot_linaro_image"}], "job_name": "x"}')
    with pytest.raises(ConfigurationError, match="no board file of architecture riscv64 serves device type 'qemu'"):
        plan(tmp_path, bare.replace("arm64", "riscv64"))


def test_stages_and_plain_targets_have_ids_of_their_own(tmp_path: Path) -> None:
    again = JOB + JOB[JOB.index("- boot") :]
    found = plan(tmp_path, again).targets
    assert [one.id for one in found] == ["qemu-arm64", "qemu-arm64-2"]
    assert len({one.job.key for one in found if one.job}) == 2
    assert len({one.job.story for one in found if one.job}) == 1


def test_a_drive_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the drive 'Usb!' of the job is none"):
        plan(tmp_path, JOB.replace("usb-storage", "Usb!"))
