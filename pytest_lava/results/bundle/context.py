"""Hardware and software of a target as a bundle has them: what the board told at its boot, and what it was given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_lava.results.bundle.parts import Bundle, attributes
from pytest_lava.results.journal import Line
from pytest_lava.results.record import Record, number
from pytest_lava.results.text import plain

__all__ = ["added_of", "contexts", "entries", "inventory_of", "source_attributes", "with_source"]

#: packages of one board; a distribution's live image has some 2,000
_MOST_PACKAGES = 5000
_UNKNOWN = "unknown"


def contexts(record: Record, target: str, *, brief: bool = False) -> Bundle:
    """``hardware_context`` and ``software_context`` of a target; empty if nothing is known.

    A ``brief`` one leaves out what is long: each core, each USB device, each package of the board's own.
    """
    line = record.target(target)
    if not line:
        return {}
    told = inventory_of(record, target)
    software = _software(record, line, told, brief=brief)
    return {
        "hardware_context": {"devices": _devices(line, told, target, brief=brief)},
        **({"software_context": software} if software else {}),
    }


def entries(found: Bundle) -> int:
    """How many devices and packages are in contexts: what makes them long."""
    hardware, software = found.get("hardware_context") or {}, found.get("software_context") or {}
    return len(hardware.get("devices") or ()) + len(software.get("packages") or ())


def inventory_of(record: Record, target: str) -> Line:
    """What the boots of a target told: the newest of each; packages are told once a deployment."""
    found: Line = {}
    for line in (*record.boots, *record.resumes):
        told = line.get("inventory")
        if line.get("target") == target and isinstance(told, dict):
            found |= {name: value for name, value in told.items() if value}
    return found


def added_of(line: Line) -> list[Bundle]:
    """What was put into the image, or onto the board."""
    return [one for one in line.get("added") or () if isinstance(one, dict)]


def with_source(found: Bundle, source: Line) -> Bundle:
    """Contexts of a test run whose suite comes from ``source``."""
    if not source.get("revision"):
        return found
    software = found.get("software_context") or {}
    entry = _source(str(source.get("project") or "tests"), source.get("url"), source["revision"])
    return {**found, "software_context": {**software, "sources": [*software.get("sources", ()), entry]}}


def source_attributes(source: Line) -> dict[str, object]:
    """The same for people, and whether it was changed since."""
    return {
        "suite.url": source.get("url"),
        "suite.revision": source.get("revision"),
        "suite.path": source.get("path"),
        "suite.changed": True if source.get("changed") else None,
    }


def _source(name: str, url: object, revision: object) -> Bundle:
    """One of ``software_context.sources``; the schema wants all four, and git needs no URL to tell a commit."""
    return {
        "project_name": plain(name)[:32],
        "branch_vcs": "git",
        "branch_url": plain(str(url or ""))[:256],
        "branch_revision": plain(str(revision))[:256],
    }


# -- hardware ---------------------------------------------------------------------------------------------------


def _devices(line: Line, told: Line, target: str, *, brief: bool) -> list[Bundle]:
    name, model = str(line.get("board") or target), str(told.get("model") or "")
    about = {
        "arch": line.get("arch"),
        "emulated": line.get("emulated"),
        "type": line.get("device_type"),
        "model": model,
        **{name: told.get(name) for name in ("vendor", "version", "firmware")},
        "compatible": " ".join(_texts(told.get("compatible"))),
    }
    devices = [_device("board", f"{name}: {model}" if model else name, about)]
    if memory := number(told.get("memory")):
        devices.append(_device("mem", f"{memory / (1 << 20):.0f} MiB of memory", {"bytes": int(memory)}))
    if brief:
        return devices
    for count, core in enumerate(_tables(told.get("cores"))):
        facts = {"processor": core.get("id", count), "model": core.get("model"), "part": core.get("part")}
        facts["features"] = told.get("features")
        devices.append(_device("cpu", str(core.get("model") or "a processor core"), facts))
    for usb in _tables(told.get("usb")):
        facts = {key: usb.get(key) for key in ("id", "vendor", "bus", "speed")}
        devices.append(_device("usb", str(usb.get("name") or usb.get("id") or "a USB device"), facts))
    return devices


def _device(kind: str, description: str, facts: dict[str, object]) -> Bundle:
    return {
        "device_type": f"device.{kind}",
        "description": plain(description)[:256],
        "attributes": attributes(facts),
    }


# -- software ---------------------------------------------------------------------------------------------------


def _software(record: Record, line: Line, told: Line, *, brief: bool) -> Bundle:
    kernel, image = line.get("kernel") or {}, line.get("image") or {}
    software: Bundle = {}
    name = image.get("name") or told.get("system")
    if name:
        software["image"] = {"name": plain(str(name))[:100]}
    version = record.kernel_release(str(line.get("target") or "")) or str(kernel.get("sha256") or "")[:12]
    packages = [("linux", version)] if version else []
    packages += [(str(one.get("name")), _version(one)) for one in added_of(line)]
    if not brief:
        packages += _pairs(told.get("packages"))
    if packages:
        software["packages"] = [{"name": plain(one)[:128], "version": plain(two)[:128]} for one, two in packages]
    origin = kernel.get("origin") or {}
    if origin.get("commit"):
        software["sources"] = [_source("linux", origin.get("url") or origin.get("text"), origin["commit"])]
    return software


def _version(one: Bundle) -> str:
    """A package's own, or else what tells a file from another of its name; the schema wants one."""
    sha256 = one.get("sha256")
    return str(one.get("version") or (f"sha256:{sha256}" if sha256 else _UNKNOWN))


def _pairs(value: object) -> list[tuple[str, str]]:
    pairs = value if isinstance(value, list) else []
    found = [(str(one[0]), str(one[1]) or _UNKNOWN) for one in pairs if isinstance(one, list) and len(one) == 2]
    return found[:_MOST_PACKAGES]


# -- a journal may be a stranger's ------------------------------------------------------------------------------


def _tables(value: object) -> list[Line]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _texts(value: object) -> Sequence[str]:
    items: Iterable[object] = value if isinstance(value, (list, tuple)) else ()
    return [str(one) for one in items]
