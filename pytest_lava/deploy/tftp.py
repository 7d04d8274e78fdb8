"""Deploys by TFTP: kernel, device tree and initramfs where a boot loader fetches them over the network."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Collection
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from pytest_lava.config.model import Strict
from pytest_lava.deadline import Deadline
from pytest_lava.deploy.api import DeployContext, Deployment
from pytest_lava.deploy.parts import KernelParts, kernel_parts
from pytest_lava.deploy.tftp_folder import TftpFolder
from pytest_lava.deploy.tftp_server import TftpServer
from pytest_lava.errors import ConfigurationError
from pytest_lava.images.memo import sha256_of
from pytest_lava.plan import ImagePlan, KernelPlan
from pytest_lava.power.api import TakesMedia

__all__ = ["TftpDeploy"]


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError("write an IP address: a boot loader looks up no names") from None


Address = Annotated[str, AfterValidator(_address)]


class TftpDeploy:
    """The files stand in a folder of the lab's server, in a server of our own, or in QEMU's."""

    class Options(Strict):
        """Keys of ``[deploy]``."""

        server: Literal["lab", "own", "qemu"] = Field(description="who serves the files")
        address: Address | None = Field(default=None, description="of the server, as the board sees it: {serverip}")
        ipaddr: Address | None = Field(default=None, description="of the board, where no DHCP gives one: {ipaddr}")
        folder: Path | None = Field(default=None, description="lab: the folder that it serves")
        prefix: str = Field(default="", description="lab: what the server calls that folder, if not its root")
        listen: str | None = Field(default=None, description="own: the address of this machine to serve at")
        port: int = Field(default=0, ge=0, le=65535, description="own: the port; 0: a free one, as {port}")
        netdev: str = Field(default="net", description="qemu: the id of its user network")
        append: str = ""

        @model_validator(mode="after")
        def _fits(self) -> Self:
            """What would be set in vain, or is missing, is a mistake."""
            for key, server in (("folder", "lab"), ("prefix", "lab"), ("listen", "own"), ("port", "own")):
                if key in self.model_fields_set and self.server != server:
                    raise ValueError(f'{key} has no effect: it is for server = "{server}"')
            if self.server == "lab" and self.folder is None:
                raise ValueError('server = "lab" needs the folder that it serves')
            return self

    takes_kernel = True
    takes_image = False

    def __init__(self, options: Options, context: DeployContext) -> None:
        if options.server == "qemu" and not isinstance(context.power, TakesMedia):
            raise ConfigurationError(
                f'board {context.board!r}: [deploy] server = "qemu" needs power = "qemu": set "own" or "lab"'
            )
        self._options = options
        self._context = context
        self._server: TftpServer | None = None
        self._folder = TftpFolder(context.folder / options.folder, context.guard) if options.folder else None

    def check(self, kernel: bool, images: Collection[str]) -> None:
        """``ConfigurationError`` if the lab's folder cannot be written, or no address of the server is known."""
        options = self._options
        if self._folder is not None:
            self._folder.check()
        if options.server == "own" and not (options.address or options.ipaddr):
            raise ConfigurationError(
                f"board {self._context.board!r} has to be told where this machine is: set [deploy] address to the "
                "address of this machine as the board sees it (or ipaddr, that of the board)"
            )

    def deploy(self, kernel: KernelPlan | None, image: ImagePlan | None, deadline: Deadline) -> Deployment:
        """Put up the files; those of the deployment before go."""
        self.close()
        options, parts = self._options, kernel_parts(kernel, self._options.append)
        files = {"append": parts.append} if kernel else {}
        if options.server == "qemu":
            files |= self._by_qemu(parts, deadline)
        elif self._folder is not None:
            files |= self._by_lab(parts)
        else:
            files |= self._by_ourselves(parts)
        if options.ipaddr:
            files["ipaddr"] = options.ipaddr
        if options.address:
            files["serverip"] = options.address
        return Deployment(kernel, image, files)

    def close(self) -> None:
        """End the server; take the files away, unless somebody else uses the same."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._folder is not None:
            self._folder.clear()

    def _by_ourselves(self, parts: KernelParts) -> dict[str, str]:
        names, options = parts.named(), self._options
        address = options.address or _ours_for(options.ipaddr or "")
        listen = options.listen if options.listen is not None else (address if _is_ours(address) else "")
        self._server = TftpServer(names, listen, options.port, report=self._context.events.emit)
        files = dict(zip(parts.files, names, strict=True)) | {"serverip": address}
        # a boot loader that cannot be told a port asks at 69, and its board file names no {port}
        return files | {"port": str(self._server.port)}

    def _by_lab(self, parts: KernelParts) -> dict[str, str]:
        assert self._folder is not None
        files = {}
        for (part, path), name in zip(parts.files.items(), parts.named(), strict=True):
            short = sha256_of(path, self._context.shelf.folder)[:16]
            board = re.sub(r"[^\w.-]", "-", self._context.board)
            place = self._folder.put(f"pytest-lava/{board}/{short}-{name}", path)
            files[part] = f"{self._options.prefix.rstrip('/')}/{place}" if self._options.prefix else place
        return files

    def _by_qemu(self, parts: KernelParts, deadline: Deadline) -> dict[str, str]:
        """A folder in the cache, by content: QEMU serves the whole of it, so nothing else may be there."""
        names, shelf = parts.named(), self._context.shelf
        key = "-".join(["tftp", *(sha256_of(path, shelf.folder)[:16] for path in names.values())])

        def make(folder: Path) -> None:
            folder.mkdir()
            for name, path in names.items():
                shutil.copyfile(path, folder / name)

        assert isinstance(self._context.power, TakesMedia)
        arguments = []
        if names:
            served = shelf.make("media", key, make, name=f"TFTP files of {self._context.board}", deadline=deadline)
            # the network itself is in [power]; this adds to it
            arguments = ["-set", f"netdev.{self._options.netdev}.tftp={served}"]
        self._context.power.insert(arguments)
        return dict(zip(parts.files, names, strict=True))


def _is_ours(address: str) -> bool:
    """Whether it is an address of this machine; if not, a router between us and the board translates it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        return True
    return False


def _ours_for(board: str) -> str:
    """The address that this machine uses towards the board; nothing is sent."""
    family = socket.AF_INET6 if ":" in board else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((board, 69))
            return str(probe.getsockname()[0])
    except OSError as error:
        raise ConfigurationError(
            f"this machine has no way to {board}, the [deploy] ipaddr of the board ({error.strerror}): set address"
        ) from None
