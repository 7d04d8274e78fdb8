"""What every test run on one target tells of it: attributes, tags, and the contexts of hardware and software."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pytest_lava.results.bundle.context import added_of, contexts, entries, inventory_of
from pytest_lava.results.bundle.parts import Bundle, attributes
from pytest_lava.results.journal import Line
from pytest_lava.results.record import Record, number

__all__ = ["TargetFacts", "target_attributes", "targets_of"]

#: devices and packages that a bundle may have in all; beyond, only the first run on a target tells of each
_MOST_ENTRIES = 20_000
#: a release of a kernel whose tree was under git ends like this (scripts/setlocalversion)
_COMMIT = re.compile(r"-g([0-9a-f]{7,40})(-dirty)?$")
#: each test is a phase of its own; its time is in its own result
_OF_TESTS = "case"


@dataclass(frozen=True)
class TargetFacts:
    """``contexts`` in full, and ``brief`` for where all of them would be too much."""

    attributes: Mapping[str, str]
    tags: tuple[str, ...]
    contexts: Bundle
    brief: Bundle


def targets_of(record: Record) -> dict[str, TargetFacts]:
    """The facts of each target that a run of the record is on; ``""`` is no target at all."""
    names = dict.fromkeys(("", *record.targets, *(case.target for case in record.cases)))
    runs = Counter((case.target, case.command or case.suite) for case in record.cases)
    times = _times(record)
    found = {}
    for name in names:
        full = contexts(record, name)
        too_much = entries(full) * sum(target == name for target, _ in runs) > _MOST_ENTRIES
        found[name] = TargetFacts(
            attributes(_attributes(record, name, times.get(name, {}))),
            _tags(record, name),
            full,
            contexts(record, name, brief=True) if too_much else full,
        )
    return found


def target_attributes(record: Record, target: str) -> dict[str, object]:
    """What a run was made on, as attributes; the names with a dot are those of LAVA where it had one."""
    return _attributes(record, target, _times(record).get(target, {}))


def _attributes(record: Record, target: str, times: Mapping[str, float]) -> dict[str, object]:
    line, told = record.target(target), inventory_of(record, target)
    kernel, image = line.get("kernel") or {}, line.get("image") or {}
    origin = kernel.get("origin") or {}
    boots = [boot for boot in record.boots if boot.get("target") == target]
    resumes = [resume for resume in record.resumes if resume.get("target") == target]
    release = record.kernel_release(target)
    commit = _COMMIT.search(release)
    return {
        **(line.get("job") or {}),
        "target": target,
        "target.hostname": line.get("board"),
        "target.device_type": line.get("device_type"),
        "target.arch": line.get("arch"),
        "target.emulated": line.get("emulated"),
        "target.model": told.get("model"),
        "kernel.name": kernel.get("name"),
        "kernel.release": release,
        "kernel.build": kernel.get("build"),
        "kernel.kind": kernel.get("kind"),
        "kernel.sha256": kernel.get("sha256"),
        "kernel.origin": origin.get("text"),
        "kernel.package": origin.get("package"),
        "kernel.commit": origin.get("commit") or (commit[1] if commit else None),
        "kernel.dirty": True if commit and commit[2] else None,
        "kernel.cmdline": told.get("cmdline"),
        "image.name": image.get("name"),
        "image.sha256": image.get("sha256"),
        "system": told.get("system"),
        **_added(line),
        "boot.seconds": boots[0].get("seconds") if boots else None,
        "boot.count": len(boots) or None,
        "boot.resumed": resumes[0].get("resumed") if resumes else None,
        **{f"time.{name}": f"{seconds:.3f}" for name, seconds in times.items()},
    }


def _times(record: Record) -> dict[str, dict[str, float]]:
    """Seconds that each phase took, in all, by target; ``boot`` is the whole way from power-on to a shell."""
    only = next(iter(record.targets)) if len(record.targets) == 1 else ""
    found: dict[str, dict[str, float]] = {}
    told = [(str(line.get("name")), line) for line in record.phases if line.get("name") != _OF_TESTS]
    told += [("boot", line) for line in record.boots]
    for name, line in told:
        times = found.setdefault(str(line.get("target") or only), {})
        times[name] = times.get(name, 0.0) + (number(line.get("seconds")) or 0.0)
    return found


def _added(line: Line) -> dict[str, object]:
    """One group for each thing put in, numbered from 1 in the order given."""
    return {
        f"added.{count}{suffix}": value
        for count, one in enumerate(added_of(line), 1)
        for suffix, value in (
            ("", one.get("option")),
            (".name", one.get("name")),
            (".version", one.get("version")),
            (".sha256", one.get("sha256")),
        )
    }


def _tags(record: Record, target: str) -> tuple[str, ...]:
    """Of the run, and the features of the board, in the letters that a dashboard takes."""
    lists = (record.head.get("tags"), record.target(target).get("features"))
    words: Iterable[object] = (word for words in lists if isinstance(words, list) for word in words)
    found = (re.sub(r"[^a-z0-9]+", "-", str(word).lower()).strip("-")[:256] for word in words)
    return tuple(dict.fromkeys(tag for tag in found if tag))
