"""Boot scripts of board files, and what U-Boot says when it gives up."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from pytest_lava.boot.script import fill
from pytest_lava.boot.uboot import UBootBoot
from pytest_lava.boot.uboot_faults import FAULTS, boot_error, complaint
from pytest_lava.errors import BootFailed, ConfigurationError, InfrastructureError, LavaError, NetworkError

SCRIPT = """
    # a comment
    setenv bootargs "{append}"

    load mmc 0:1 ${kernel_addr_r} \\
        {kernel}
    load mmc 0:1 ${ramdisk_addr_r} {initrd}
  booti ${kernel_addr_r} {ramdisk} {fdt}
"""


def commands(given: object) -> tuple[str, ...]:
    return UBootBoot.Options.model_validate({"commands": given}).commands


def test_a_text_is_as_many_commands_as_it_has_lines() -> None:
    found = commands(SCRIPT)
    assert found == (
        'setenv bootargs "{append}"',
        "load mmc 0:1 ${kernel_addr_r} {kernel}",
        "load mmc 0:1 ${ramdisk_addr_r} {initrd}",
        "booti ${kernel_addr_r} {ramdisk} {fdt}",
    )
    assert commands(["a\nb", "", "# c", "d"]) == ("a", "b", "d")
    assert commands(list(found)) == found


def test_lines_are_filled_or_left_out() -> None:
    values = {"kernel": "Image", "append": 'a "b" {initrd} ${x}', "ramdisk": "-", "fdt": "${fdtcontroladdr}"}
    assert fill(commands(SCRIPT), values) == [
        'setenv bootargs "a "b" {initrd} ${x}"',
        "load mmc 0:1 ${kernel_addr_r} Image",
        "booti ${kernel_addr_r} - ${fdtcontroladdr}",
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "at least 1 item"),
        ("", "at least 1 item"),
        ("\n# only a comment\n", "at least 1 item"),
        (7, "valid tuple"),
        (["run", 7], "valid string"),
        ("load {kernl}", r"no placeholder \{kernl\}; did you mean \{kernel\}\?"),
        ("setenv serverip {serverpi}", r"did you mean \{serverip\}\?"),
    ],
)
def test_scripts_that_are_wrong(given: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        commands(given)


def test_values_that_cannot_be_typed() -> None:
    with pytest.raises(ConfigurationError, match=r"\{append\} cannot be typed at a boot loader: 'a\\nreset'"):
        fill(["setenv bootargs {append}"], {"append": "a\nreset"})
    with pytest.raises(ConfigurationError, match="left without a kernel: add --kernel"):
        fill(["load {kernel}"], {"append": ""})


#: as U-Boot 2023.01 of Debian said it on emulated boards (two of them: as its source has it)
SAID = [
    ("** Bad device specification virtio 9 **\nCouldn't find partition virtio 9\nCan't set block device\n", BootFailed),
    ("** Unable to read file nosuch **\nFailed to load 'nosuch'\n", BootFailed),
    ("** File not found nosuch **\n** Unable to read file nosuch **\n", BootFailed),
    ("Using virtio-net#31 device\nLoading: *\x08\nTFTP error: 'File not found' (1)\nNot retrying...\n", NetworkError),
    ("Loading: *\x08T T T T \nRetry count exceeded; starting again\n", NetworkError),
    ("\nARP Retry count exceeded; starting again\n", NetworkError),
    ("*** ERROR: `serverip' not set\n", NetworkError),
    ("No ethernet found.\n", NetworkError),
    ("Bad Linux ARM64 Image magic!\n", BootFailed),
    ("zimage: Bad magic!\n", BootFailed),
    ("Wrong Image Format for bootm command\nERROR: can't get kernel image!\n", BootFailed),
    ("   Verifying Checksum ... Bad Data CRC\nERROR: can't get kernel image!\n", BootFailed),
    ("Unknown command 'bootz' - try 'help'\n", BootFailed),
    ('## Error: "nosuch" not defined\n', BootFailed),
    ("MMC: no card present\n", InfrastructureError),
    ("resetting ...\n", BootFailed),
]


@pytest.mark.parametrize(("said", "kind"), SAID, ids=[said.strip()[:30] for said, _ in SAID])
def test_complaints(said: str, kind: type[LavaError]) -> None:
    found = complaint("booti ...\n" + said.replace("\n", "\r\n"))
    assert found is not None
    assert found[0] in said.replace("\x08", "")
    error = boot_error("it failed", said)
    assert type(error) is kind
    assert str(error).startswith("it failed")
    assert error.evidence == said


@pytest.mark.parametrize(
    "said",
    [
        "Loading: *\x08####\n\t 7.3 MiB/s\ndone\nBytes transferred = 100000 (186a0 hex)\n",
        "*** Warning - bad CRC, using default environment\n",
        "BOOTP broadcast 1\nDHCP client bound to address 10.0.2.15 (4 ms)\n",
        "5448192 bytes read in 3 ms (1.7 GiB/s)\n",
        "## Booting kernel from Legacy Image at 40400000 ...\n   Verifying Checksum ... OK\n",
        "echo TFTP error: as an argument\n",
    ],
)
def test_what_is_no_complaint(said: str) -> None:
    assert complaint(said) is None
    assert type(boot_error("x", said)) is BootFailed


def test_the_table() -> None:
    for fault in FAULTS:
        assert re.compile(fault.pattern).groups == 0, fault
        assert re.search(r"\w+/[\w/.-]+\.c", fault.source), fault
