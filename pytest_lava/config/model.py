"""What a board file may say: typed, every key documented, unknown keys refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pytest_lava.console.settings import LineSettings, Parity

__all__ = [
    "BoardModel", "Console", "Defaults", "DriverTable", "Hardware", "Health", "Login", "Proxy", "Regex", "Retry",
    "Strict", "Timeouts", "Transfer", "Watch",
]  # fmt: skip

Arch = Literal["arm", "arm64", "host", "riscv64", "x86", "x86_64"]


#: user and password may stand in it; a path has no meaning
_PROXY = re.compile(r"http://[^\s/'\"]+:\d{1,5}/?")
_SIZE = re.compile(r"\d+(\.\d+)? ?[KMGT]?(i?B)?")
_TCP = ("socket", "telnet", "rfc2217")  # ours
_SCHEMES = (*_TCP, "loop", "spy", "hwgrep", "cp2110", "alt")  # the others are pyserial's
# of a prompt: colours, bracketed paste and busybox's question for the cursor may stand there
_END = r"(?: |\x1b\[[\d;?]*[A-Za-z])*$"


def _regex(text: str) -> str:
    try:
        re.compile(text.encode())
    except re.error as error:
        raise ValueError(f"this is not a valid regular expression: {error}") from None
    return text


def _console_url(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if url.startswith("exec:") or not separator:
        if not url.removeprefix("exec:").strip():
            raise ValueError("this names no serial line")
    elif scheme not in _SCHEMES:
        raise ValueError(f"{scheme}:// is unknown; write a device, socket://HOST:PORT or rfc2217://HOST:PORT")
    elif scheme in _TCP and not re.search(r":\d{1,5}(?:[/?]|$)", rest):
        raise ValueError(f"a port is missing; write {scheme}://HOST:PORT")
    return url


def _proxy_url(url: str) -> str:
    if not _PROXY.fullmatch(url):
        raise ValueError("write http://HOST:PORT")
    return url


def _size(text: str) -> str:
    if not _SIZE.fullmatch(text):
        raise ValueError("this is no size; write a number with K, M, G or T, such as 512M")
    return text


def _variables(found: Mapping[str, str]) -> Mapping[str, str]:
    for name in found:
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            raise ValueError(f"{name!r} is no name of a variable")
    return found


def _host(text: str) -> str:
    if not re.fullmatch(r"[\w.-]+|[0-9a-fA-F:.]*::?[0-9a-fA-F:.]*(?:%\w+)?", text) or re.fullmatch(
        r"[\w.-]+:\d+", text
    ):
        raise ValueError("write an address or a host's name, without a scheme and a port")
    return text


def _ssh_host(text: str) -> str:
    scheme, separator, _ = text.partition("://")
    if text.startswith("-"):
        raise ValueError("this has to be a host, options go to ssh_options")
    if not text or re.search(r"\s", text) or (separator and scheme != "ssh"):
        raise ValueError("write USER@HOST or ssh://USER@HOST:PORT")
    if not separator and re.fullmatch(r"[^:]*:\d*", text):
        raise ValueError("with a port, write ssh://USER@HOST:PORT")
    return text


#: a name or an address
Host = Annotated[str, AfterValidator(_host)]
#: a regular expression for bytes of the console
Regex = Annotated[str, AfterValidator(_regex)]


class Strict(BaseModel):
    """A table without unknown keys; drivers derive their ``Options`` from it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """pydantic takes ``true`` for 1."""
        if isinstance(value, bool) and info.field_name in cls.model_fields:
            kind = cls.model_fields[info.field_name].annotation
            if {int, float} & {kind, *get_args(kind)} and bool not in {kind, *get_args(kind)}:
                raise ValueError("write a number")
        return value


class DriverTable(BaseModel):
    """A table that names a driver by ``method``; the other keys are the driver's own ``Options``."""

    model_config = ConfigDict(extra="allow", frozen=True)

    method: str

    @property
    def options(self) -> Mapping[str, Any]:
        """All keys but ``method``."""
        return self.model_extra or {}


class Console(Strict):
    """The serial line.

    ``url`` is a device (``/dev/ttyUSB0``), a URL of pyserial (``socket://``, ``rfc2217://``), ``exec:COMMAND`` (a
    process on a pty of this machine) or ``power`` (the power driver makes the line, as an emulator does).
    """

    url: Annotated[str, AfterValidator(_console_url)]
    speed: int = Field(default=115200, gt=0)
    parity: Parity = "none"
    stopbits: Literal[1, 2] = 1
    xonxoff: bool = Field(default=False, description="flow control by characters; binary data then needs an encoding")
    rtscts: bool = Field(default=False, description="flow control by wires")
    txdelay: float = Field(default=0.0, ge=0, le=1, description="seconds after each txchunk bytes that are sent")
    txchunk: int = Field(default=1, ge=1, description="bytes sent at once where there is a txdelay")

    @model_validator(mode="after")
    def _has_a_use(self) -> Self:
        """What would be set in vain is a mistake; but ``speed`` and the like may be inherited from the device type."""
        if "txchunk" in self.model_fields_set and not self.txdelay:
            raise ValueError("txchunk has no effect without txdelay, the seconds after each chunk")
        return self

    @property
    def settings(self) -> LineSettings:
        """All but the URL."""
        return LineSettings(**self.model_dump(exclude={"url"}))


class Login(Strict):
    """From the kernel's last message to a command line. All prompts are regular expressions."""

    shell_prompt: Regex = rf"[#$]{_END}"
    login_prompt: Regex = rf"login:{_END}"
    user: str = "root"
    password_prompt: Regex = rf"[Pp]assword:{_END}"
    password: str = ""
    refused: Regex = r"[Ll]ogin incorrect|[Ll]ogin timed out|Authentication failure"
    environment: Annotated[Mapping[str, str], AfterValidator(_variables)] = Field(
        default={}, description="variables of the shell that is tested"
    )
    commands: tuple[str, ...] = Field(default=(), description="run once after login, in the shell that is tested")
    protocol: Literal["auto", "agent", "marker"] = Field(
        default="auto", description="how commands are sent; auto: agent, or marker where no agent can live"
    )


class Defaults(Strict):
    """What is booted when the command line names nothing. ``{cache}`` is the cache folder of pytest-lava;
    of several files that match a ``*`` the newest counts."""

    kernel: str | None = None
    initrd: str | None = None
    dtb: str | None = None
    dtb_name: str = Field(default="", description="the device tree to take from a kernel's package, tree or build")
    append: str = ""
    image: str | None = Field(default=None, description="the image where no --image is given")
    hint: str = Field(default="", description="how to get the default files when they are not there")


class Transfer(Strict):
    """How files reach the board over a network (``--transfer``); all may be left out."""

    address: Host | None = Field(default=None, description="this machine as the board sees it; default: found out")
    listen: Host | None = Field(
        default=None, description="where to serve files here; default: at address if it is ours, else everywhere"
    )
    up: str | None = Field(default=None, description="run on the board before its network is used first")
    ssh: Annotated[str, AfterValidator(_ssh_host)] | None = Field(
        default=None, description="the board's ssh server: USER@HOST, or ssh://USER@HOST:PORT"
    )
    ssh_options: tuple[str, ...] = Field(default=(), description="for the ssh client, such as -i FILE")

    @model_validator(mode="after")
    def _has_a_use(self) -> Self:
        """What would be set in vain is a mistake."""
        if self.ssh_options and not self.ssh:
            raise ValueError("ssh_options has no effect without ssh, the host to log in to")
        return self


class Proxy(Strict):
    """Through what the board fetches packages (``--package-proxy``)."""

    url: Annotated[str, AfterValidator(_proxy_url)] | None = None


class WatchFor(Strict):
    """One thing more that the watch looks for on this board's console."""

    kind: Literal["fatal", "crash", "stall", "warn", "boot"] = Field(alias="class", description="how grave it is")
    regex: str = Field(description="searched in each line of the console")
    traced: bool = Field(default=True, description="more lines belong to it")


class Watch(Strict):
    """What the watch looks for beside, or instead of, what it always does."""

    ignore: tuple[str, ...] = Field(default=(), description="names of what it is not to look for")
    patterns: Mapping[str, WatchFor] = Field(default={}, description="by names of your own")


class Hardware(Strict):
    """What the board is made of, for tests that require it."""

    memory: Annotated[str, AfterValidator(_size)] | None = Field(
        default=None,
        description="installed; without it the kernel of the board is asked",
    )


class Timeouts(Strict):
    """Limits in seconds."""

    fetch: float = Field(default=3600, gt=0, description="download and unpack what is deployed")
    power: float = Field(default=60, gt=0)
    deploy: float = Field(default=600, gt=0)
    bootloader: float = Field(default=60, gt=0)
    kernel: float = Field(default=180, gt=0)
    login: float = Field(default=60, gt=0)
    boot: float | None = Field(default=None, gt=0, description="from power-on to a shell, all steps together")
    command: float = Field(default=60, gt=0)
    silence: float | None = Field(default=None, gt=0, description="without any output of a command")


class Retry(Strict):
    """How often each phase is tried before it has failed; 1: once. Only what may pass is tried again."""

    lease: int = Field(default=1, ge=1, le=100)
    power: int = Field(default=2, ge=1, le=100)
    fetch: int = Field(default=3, ge=1, le=100, description="whole downloads")
    deploy: int = Field(default=2, ge=1, le=100)
    boot: int = Field(default=2, ge=1, le=100)
    submit: int = Field(default=3, ge=1, le=100)
    pause: float = Field(default=1.0, ge=0, le=3600, description="seconds before the second try, doubled each time")
    total: float = Field(default=3600, gt=0, description="seconds that all tries of a phase may take together")


class Health(Strict):
    """What a health check boots, and when a run makes one by itself. What is not named is that of ``[defaults]``."""

    kernel: str | None = None
    initrd: str | None = None
    dtb: str | None = None
    image: str | None = Field(default=None, description="an image that is known to be good")
    append: str = ""
    after: int = Field(default=3, ge=0, description="lab faults after which a run checks it at its end; 0: never")
    within: float = Field(default=86400, gt=0, description="seconds in which they are counted")

    @model_validator(mode="after")
    def _has_a_use(self) -> Self:
        """What would be set in vain is a mistake."""
        if self.kernel is None and (self.initrd or self.dtb):
            raise ValueError("initrd and dtb have no effect without kernel")
        return self


def _method(value: Any) -> Any:
    return {"method": value} if isinstance(value, str) else value


def _url(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


Driver = Annotated[DriverTable, BeforeValidator(_method)]


class BoardModel(Strict):
    """A whole board file. ``power = "none"`` is short for ``[power] method = "none"``; so for deploy and boot."""

    description: str = ""
    extends: str | None = None
    abstract: bool = Field(default=False, description="a device type: other board files extend it, nobody leases it")
    arch: Arch
    emulated: bool = Field(default=False, description="each worker starts one of its own; nothing to lock")
    power: Driver
    console: Annotated[Console, BeforeValidator(_url)]
    deploy: Driver = DriverTable(method="none")
    boot: Driver
    login: Login = Login()
    kernels: tuple[str, ...] = Field(default=(), description="kinds of kernel file that it boots; none: all")
    defaults: Defaults = Defaults()
    transfer: Transfer = Transfer()
    proxy: Proxy = Proxy()
    watch: Watch = Watch()
    timeouts: Timeouts = Timeouts()
    hardware: Hardware = Hardware()
    features: tuple[str, ...] = Field(default=(), description="what tests may require of it, in your own words")
    retry: Retry = Retry()
    health: Health = Health()
    locks: tuple[str, ...] = Field(default=(), description="more resources that only one run may use at a time")
    lava_device_types: tuple[str, ...] = Field(
        default=(), description="what LAVA calls such a board: jobs for one of these device types run on it"
    )
