"""QEMU's arguments in jobs, as people write them."""

from __future__ import annotations

import pytest

from pytest_lava.jobs.qemu_arguments import BadArgument, read_arguments


def test_files_and_kernel_arguments() -> None:
    found = read_arguments(
        [
            '-kernel {kernel} -serial stdio --append "console=ttyS0,115200 root=/dev/ram0"',
            "-initrd {ramdisk}",
            "--dtb {dtb}",
        ]
    )
    assert found.roles == {"kernel": "kernel", "ramdisk": "initrd", "dtb": "dtb"}
    assert found.append == ["console=ttyS0,115200 root=/dev/ram0"]
    assert found.settings.arguments == ()


@pytest.mark.parametrize(
    ("texts", "device"),
    [
        (["-drive format=raw,file={rootfs}"], ""),
        (["-hda {rootfs} -nographic"], "ide:0"),
        (["-drive if=virtio,file={rootfs},format=qcow2"], "virtio"),
        (["-drive file={rootfs},if=ide,index=1"], "ide:1"),
        (["-drive if=none,file={rootfs},id=hd0", "-device virtio-blk-device,drive=hd0"], "virtio-blk-device"),
        (["-drive file={rootfs},id=hd0 -device scsi-hd,drive=hd0,bus=scsi.0"], "scsi-hd,bus=scsi.0"),
        (["-sd {rootfs}"], "sd:0"),
        (["-bios {rootfs}"], "bios"),
    ],
)
def test_drives(texts: list[str], device: str) -> None:
    found = read_arguments(texts)
    assert (found.roles, dict(found.settings.drives)) == ({"rootfs": "drive"}, {"rootfs": device})


def test_the_machine() -> None:
    found = read_arguments(
        ["-m 2G -smp 4 -cpu cortex-a57", "-smp", "2", "-machine virt", "-m size=512,slots=2"]
    ).settings
    assert (found.memory, found.smp, found.cpu, found.machine) == ("512", 2, "cortex-a57", "virt")


def test_what_is_the_machines_own_is_left_out_and_the_rest_added() -> None:
    found = read_arguments(
        ["-nographic -net nic,model=virtio -netdev user,id=n -device virtio-net-device,netdev=n -global a.b=off",
         "-device virtio-scsi-device,id=scsi -object rng-random,id=r -usb -virtfs local,path=/srv,mount_tag=x"]
    )  # fmt: skip
    assert found.settings.arguments == (
        "-global", "a.b=off", "-object", "rng-random,id=r", "-usb", "-virtfs", "local,path=/srv,mount_tag=x",
        "-device", "virtio-scsi-device,id=scsi",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-pflash {fw}", "-pflash {fw}"),
        ("-drive if=xen,file={x}", "if=xen"),
        ("-device virtio-blk,drive=none", "no drive of the id 'none'"),
        ("-smp many", "-smp many"),
        ("-m lots", "-m lots"),
        ("-kernel", "has no value"),
        ("word", "'word' is no option"),
        ("-append 'open", "cannot be taken apart"),
        ("-plugin local", "name it in the board file"),
    ],
)
def test_what_cannot_be_honoured_is_named(text: str, said: str) -> None:
    with pytest.raises(BadArgument) as caught:
        read_arguments([text])
    assert said in str(caught.value)
