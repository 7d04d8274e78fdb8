"""Deploys to a QEMU machine: a direct kernel, or a boot medium that its boot loader reads; disks are never written."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pytest_lava.config.model import Strict
from pytest_lava.deadline import Deadline
from pytest_lava.deploy.api import DeployContext, Deployment
from pytest_lava.errors import ConfigurationError, DeployFailed
from pytest_lava.images.cache import entry, produce
from pytest_lava.images.media import boot_medium, sha256_of
from pytest_lava.plan import ImagePlan, KernelPlan
from pytest_lava.power.api import TakesMedia

__all__ = ["QemuDeploy"]


class QemuDeploy:
    """``kernel = "direct"`` hands kernel, initrd and arguments to QEMU; ``"fat"`` builds a boot medium for U-Boot."""

    class Options(Strict):
        """Keys of ``[deploy]``."""

        kernel: Literal["direct", "fat"] = "direct"
        drive: str = "virtio-blk-device"
        append: str = ""

    takes_kernel = True
    takes_image = True

    def __init__(self, options: Options, context: DeployContext) -> None:
        if not isinstance(context.power, TakesMedia):
            raise ConfigurationError(f'board {context.board!r}: deploy = "qemu" needs power = "qemu"')
        self._options = options
        self._machine = context.power
        self._events = context.events

    def deploy(self, kernel: KernelPlan | None, image: ImagePlan | None, deadline: Deadline) -> Deployment:
        """Put the files where the machine finds them at its next power-on."""
        arguments: list[str] = []
        drives: list[list[str]] = []
        files: dict[str, str] = {}
        if kernel is not None:
            sources = {"Image": kernel.file.path}
            if kernel.dtb:
                sources["board.dtb"] = kernel.dtb
            if initrd := self._initrd(kernel):
                sources["initrd.img"] = initrd
            append = " ".join(filter(None, [self._options.append, kernel.append]))
            if self._options.kernel == "direct":
                arguments += self._direct(sources, append)
            else:
                with self._events.phase("inject"):
                    medium = boot_medium(sources)
                drives.append(self._drive("boot", medium))
            names = {"Image": "kernel", "board.dtb": "dtb", "initrd.img": "initrd"}
            files = {names[name]: name for name in sources}
            files["append"] = append
        for part, path in (image.parts if image else {}).items():
            drives.append(self._drive(f"image{part}", path))
        if self._options.drive == "virtio-blk-device":
            drives.reverse()  # virtio-mmio slots are filled from the last one: so the boot medium is the first
        self._machine.insert([*arguments, *(word for drive in drives for word in drive)])
        return Deployment(kernel, image, files)

    @staticmethod
    def _direct(sources: dict[str, Path], append: str) -> list[str]:
        arguments = ["-kernel", str(sources["Image"]), "-append", append]
        if "initrd.img" in sources:
            arguments += ["-initrd", str(sources["initrd.img"])]
        if "board.dtb" in sources:
            arguments += ["-dtb", str(sources["board.dtb"])]
        return arguments

    def _drive(self, name: str, path: Path) -> list[str]:
        name = "".join(char if char.isalnum() else "-" for char in name)
        form = "qcow2" if path.suffix == ".qcow2" else "raw"
        return [
            "-drive", f"file={str(path).replace(',', ',,')},format={form},if=none,id={name},snapshot=on",
            "-device", f"{self._options.drive},drive={name}",
        ]  # fmt: skip

    def _initrd(self, kernel: KernelPlan) -> Path | None:
        """The initial RAM file system, the modules as one more archive behind it."""
        if kernel.modules is None:
            return kernel.initrd
        from pytest_lava.images.cpio import modules_archive

        base, modules = kernel.initrd, kernel.modules
        if base is None:
            raise DeployFailed("modules= needs an initrd= to go into: the board has no default one")

        def make(target: Path) -> None:
            archive = target.with_suffix(".modules")
            modules_archive(modules, archive)
            padded = base.read_bytes()
            target.write_bytes(padded + b"\0" * (-len(padded) % 512) + archive.read_bytes())
            archive.unlink()

        with self._events.phase("inject"):
            key = f"{sha256_of(base)[:32]}-{_identity(modules)}"
            return produce(entry("initrd", f"{key}.img"), make)


def _identity(source: Path) -> str:
    if source.is_file():
        return sha256_of(source)[:32]
    import hashlib

    digest = hashlib.sha256()
    for path in sorted(source.rglob("*")):
        status = path.lstat()
        digest.update(f"{path.relative_to(source)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]
