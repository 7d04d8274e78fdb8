"""What becomes of each key of a LAVA v2 job: taken, noted, or refused; docs/jobs.md shows this table.

The keys are those of LAVA's schemas (``lava_common/schemas``). ``noted`` ones say how a server or its lab goes about a
job, so a run is the same without them; ``refused`` ones would change what is tested, so nothing is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["BOOTS", "DEPLOYS", "PLACES", "Key"]


@dataclass(frozen=True)
class Key:
    """``said`` tells what it becomes, or why it is refused and what to do instead."""

    use: Literal["taken", "noted", "refused"]
    said: str


def _taken(said: str) -> Key:
    return Key("taken", said)


def _noted(said: str) -> Key:
    return Key("noted", said)


def _refused(said: str) -> Key:
    return Key("refused", said)


_JOB: Mapping[str, Key] = {
    "job_name": _taken("an attribute of its results"),
    "device_type": _taken("the board, unless `--board` is given"),
    "timeouts": _taken(
        "limits of the job, its actions and test shells; not those of `connection` or of parts of actions"
    ),
    "actions": _taken("deploy, boot and test, in their order"),
    "context": _taken("see below"),
    "metadata": _taken("attributes of its results"),
    "environment": _taken("variables of the test shells"),
    "secrets": _noted("they are not sent to the board, and shown nowhere"),
    "priority": _noted("nothing is queued"),
    "visibility": _noted("results stay on this machine"),
    "tags": _noted("`--board` chooses"),
    "notify": _noted("nobody is notified"),
    "reboot_to_fastboot": _noted("the board's own chain boots"),
    "protocols": _refused("several boards in one job, containers and networks are not run: write one job for each"),
}
_ACTION: Mapping[str, Key] = {
    "timeout": _taken("limit of the action"),
    "namespace": _taken("one for the whole job"),
    "connection-namespace": _refused("a job has one board and one console"),
    "connection": _noted("it is the board's serial line"),
    "protocols": _refused("several boards in one job, containers and networks are not run"),
    "role": _refused("a job has one board"),
    "failure_retry": _taken("how often deploying or booting is tried; nothing is tried twice once it ran on the board"),
    "timeouts": _noted("the parts of an action have the limit of the action"),
    "failure_retry_interval": _noted("the pause between tries is that of `[retry]` in the board file"),
}
_DEPLOY: Mapping[str, Key] = {
    **_ACTION,
    "to": _taken("see below"),
    "images": _taken("kernel, initial RAM file system and drives; see below"),
    "kernel": _taken("`--kernel`, unless that is given"),
    "ramdisk": _taken("`--initrd`, likewise"),
    "dtb": _taken("`--dtb`, likewise"),
    "modules": _taken("`--modules`, likewise; not with another kernel than the job's"),
    "rootfs": _taken("an image"),
    "os": _noted("the test shell finds out"),
    "type": _noted("the boot method says whether there is a shell"),
    "root_partition": _noted("nothing of ours is put into the image for a test"),
    "authorize": _noted("the serial line needs no key"),
    "uniquify": _noted("files keep their names"),
    "uefi": _refused("firmware is the board file's (`bios` of its `[power]`)"),
    "nfsrootfs": _refused("a root file system over NFS is not served: give an image or an initial RAM file system"),
    "persistent_nfs": _refused("a root file system over NFS is not served"),
    "nbdroot": _refused("a root file system over NBD is not served"),
    "initrd": _taken("`--initrd`, unless that is given"),
    "preseed": _refused("no installer is run: give an installed image"),
    "tee": _refused("firmware is the board's own"),
    "docker": _refused("nothing is done in containers"),
    "postprocess": _refused("files are deployed as they are: name the one that comes of it"),
}
_ARTEFACT: Mapping[str, Key] = {
    "url": _taken("http, https, file, and `downloads://` of an earlier action"),
    "compression": _taken("seen in the file itself"),
    "archive": _refused("name the file itself"),
    "md5sum": _taken("checked"),
    "sha256sum": _taken("checked"),
    "sha512sum": _taken("checked"),
    "image_arg": _taken("see below"),
    "format": _taken("seen in the file itself"),
    "type": _noted("seen in the file itself"),
    "overlays": _taken("archives and files that go into the image"),
    "partition": _taken("of a disk image: which one overlays go into, counted from 0"),
    "root_partition": _noted("nothing of ours is put into the image for a test"),
    "sparse": _noted("seen in the file itself"),
    "header": _refused("an image with a U-Boot header is not taken apart: give it without one"),
    "install_modules": _noted("modules go into the initial RAM file system"),
    "install_overlay": _noted("the tests are sent to the booted board"),
    "use_cache": _noted("each file is asked for anew, and fetched if it has changed"),
    "headers": _refused("headers for a download are not sent: fetch the file, and name it here"),
    "prefix": _refused("a root file system over NFS is not served"),
}
_OVERLAY: Mapping[str, Key] = {
    "url": _taken("as of images"),
    "compression": _taken("seen in the file itself"),
    "format": _taken("`tar`: unpacked; `file`: copied"),
    "path": _taken("where it goes"),
    "md5sum": _taken("checked"),
    "sha256sum": _taken("checked"),
    "sha512sum": _taken("checked"),
    "archive": _refused("name the file itself"),
    "headers": _refused("headers for a download are not sent: fetch the file, and name it here"),
    "use_cache": _noted("as of images"),
}
_BOOT: Mapping[str, Key] = {
    **_ACTION,
    "method": _taken("see below"),
    "media": _noted("it is where the board boots from"),
    "prompts": _taken(
        "what the shell's prompt may be, beside that of the board file; for `interactive` its own count; a boot that "
        "has none after one that had takes those"
    ),
    "auto_login": _taken("user, password, their prompts, commands after the login"),
    "commands": _taken("a name: the board's own chain; a list is refused, but for an empty one of `bootloader`"),
    "bootloader": _noted("it is the board's own"),
    "transfer_overlay": _noted("the tests are sent over the serial line or the network"),
    "parameters": _noted("the kernel's own messages show that it starts"),
    "soft_reboot": _noted("a board is restarted by its power"),
    "reset": _noted("a board is restarted by its power"),
    "type": _noted("kinds of kernel are seen in their files"),
    "use_bootscript": _noted("the board's own chain boots"),
    "ignore_kernel_messages": _noted("`--kernel-messages` says what becomes of them"),
    "failure_message": _refused("name it in the board file: `[watch.patterns]`"),
    "repeat": _refused("write the actions as often as the board is to boot"),
    "docker": _noted("the QEMU of this machine is started, in no container"),
}
_LOGIN: Mapping[str, Key] = {
    "login_prompt": _taken("`login_prompt` of the board"),
    "username": _taken("`user`"),
    "password_prompt": _taken("`password_prompt`"),
    "password": _taken("`password`"),
    "login_commands": _taken("`commands`; `su` and the like are left out for root and refused for others"),
}
_TEST: Mapping[str, Key] = {
    **_ACTION,
    "definitions": _taken("test definitions, each an item"),
    "monitors": _taken("patterns that read the console, each an item"),
    "interactive": _taken("scripts that talk at a prompt, each an item"),
    "repeat": _taken("the block is run so often"),
    "failure_retry": _noted("what broke on the board is not run again: a fault that goes away is one to be seen"),
    "docker": _refused("tests in a container of the server are not run: run them here by `--host-command` or pytest"),
    "services": _refused("nothing is done in containers"),
}
_DEFINITION: Mapping[str, Key] = {
    "from": _taken("`inline`, `git`, `url`"),
    "repository": _taken("the definition itself, a git repository, or an archive; cloned on this machine"),
    "path": _taken("of the definition in the repository"),
    "name": _taken("of its results"),
    "branch": _taken("or a tag"),
    "revision": _taken("a commit of that branch"),
    "history": _taken("`false`: only the newest commit is fetched, as always where no revision is named"),
    "parameters": _taken("in place of the definition's own; `--param` wins over both"),
    "params": _taken("likewise"),
    "compression": _taken("seen in the archive itself"),
    "expected": _taken("cases that must come"),
    "skip_install": _taken("what is not installed"),
    "lava-signal": _taken("`kmsg`: signals go through the kernel's log"),
}
_MONITOR: Mapping[str, Key] = {
    "name": _taken("of its results"),
    "start": _taken("where it begins"),
    "end": _taken("where it ends"),
    "pattern": _taken("what is a result, line by line"),
    "fixupdict": _taken("words for results"),
    "expected": _taken("cases that must come"),
}
_INTERACTIVE: Mapping[str, Key] = {
    "name": _taken("of its results"),
    "prompts": _taken("what shows that a command has ended"),
    "echo": _taken("`discard`: the line that a command is echoed in is left out"),
    "script": _taken("its commands"),
    "successes": _noted("LAVA looks for them in the commands of `script` only"),
    "failures": _noted("likewise"),
    "expected": _taken("cases that must come"),
}
_COMMAND: Mapping[str, Key] = {
    "command": _taken("typed; `null`: only waits"),
    "name": _taken("a case of that name; without one a failure ends the script"),
    "successes": _taken("what it has to say; named groups are placeholders of later commands"),
    "failures": _taken("what it must not say; `exception` ends the job"),
    "wait_for_prompt": _taken("`false`: the next command is typed at once"),
    "delay": _taken("seconds of waiting"),
    "lava-send": _refused("a job has one board"),
    "lava-sync": _refused("a job has one board"),
    "lava-wait": _refused("a job has one board"),
    "lava-wait-all": _refused("a job has one board"),
}
_CONTEXT: Mapping[str, Key] = {
    "arch": _taken("which of the boards that serve the device type"),
    "memory": _taken("of QEMU; a number is in MB"),
    "cpu": _taken("of QEMU, where it emulates"),
    "machine": _taken("of QEMU"),
    "no_kvm": _taken("QEMU emulates"),
    "extra_options": _taken("of QEMU, as `image_arg`"),
    "extra_kernel_args": _taken("kernel arguments"),
    "kernel_loglevel": _taken("kernel argument `loglevel=`"),
    "custom_kernel_args": _taken("kernel arguments"),
}
#: place in a job -> key -> what becomes of it
PLACES: Mapping[str, Mapping[str, Key]] = {
    "job": _JOB,
    "deploy": _DEPLOY,
    "image": _ARTEFACT,
    "overlay": _OVERLAY,
    "boot": _BOOT,
    "auto_login": _LOGIN,
    "test": _TEST,
    "definition": _DEFINITION,
    "monitor": _MONITOR,
    "interactive": _INTERACTIVE,
    "command": _COMMAND,
    "context": _CONTEXT,
}
#: what ``deploy: to`` may be
DEPLOYS: Mapping[str, Key] = {
    "tmpfs": _taken("files that QEMU is given"),
    "tftp": _taken("kernel, initial RAM file system and device tree, brought by the board's own `deploy`"),
    "flasher": _taken("images by their names, brought by the board's own `deploy`"),
    "download": _taken("files that later actions name as `downloads://NAME`"),
    "downloads": _taken("likewise"),
    "overlay": _taken("nothing: the tests are sent to the booted board"),
    **dict.fromkeys(
        ("nfs", "nbd", "usb", "sata", "sd", "fastboot", "u-boot-ums", "usbg-ms", "ssh", "docker", "lxc", "recovery",
         "iso-installer", "fvp", "avh", "mps", "musca", "vemsd", "uuu", "qdl", "nodebooter"),
        _refused("how images get to a board is said by its board file: use `flasher`, or `--image` with `--board`"),
    ),
}  # fmt: skip
#: what ``boot: method`` may be
BOOTS: Mapping[str, Key] = {
    "qemu": _taken("QEMU starts the kernel itself, or what is on its drives"),
    "monitor": _taken("nobody logs in; only `monitors` follow"),
    "minimal": _taken("power on, then the login"),
    "u-boot": _taken("the board's own chain"),
    "bootloader": _taken("stops at the boot loader's prompt, for `interactive`"),
    **dict.fromkeys(
        ("grub", "grub-efi", "ipxe", "barebox", "depthcharge", "uefi", "uefi-menu", "fastboot", "qemu-iso", "qemu-nfs",
         "ssh", "new_connection", "kexec", "docker", "lxc", "dfu", "jlink", "openocd", "pyocd", "cmsis-dap", "gdb",
         "fvp", "avh", "musca", "nodebooter", "recovery", "schroot", "uuu", "qdl", "ser-ctl"),
        _refused("how such a board boots is said by its board file: use `minimal` or `u-boot` with `--board`"),
    ),
}  # fmt: skip
