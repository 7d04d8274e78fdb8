"""What the kernel said during a test, out of the journal: counts by class, names, the first message, all traces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from pytest_lava.results.journal import Line
from pytest_lava.results.record import Record

__all__ = ["KERNEL_MESSAGES", "SECTION", "kernel_attributes", "kernel_messages", "kernel_traces", "told_stored"]

#: the field of a journal's line, and the fact of a report, that holds them
KERNEL_MESSAGES = "kernel_messages"
#: how the section of a report begins that shows them
SECTION = "Kernel messages of "
_COUNTS = {"crash": "kernel.crashes", "stall": "kernel.stalls", "warn": "kernel.warnings"}


def kernel_messages(lines: Iterable[Line]) -> list[Line]:
    """Those of some lines of the journal, in order."""
    found = (line.get(KERNEL_MESSAGES) for line in lines)
    return [one for several in found if isinstance(several, list) for one in several if isinstance(one, dict)]


def kernel_attributes(messages: Sequence[Line]) -> dict[str, object]:
    """Empty if there are none. Doubtful ones, perhaps written by programs, are counted apart."""
    if not messages:
        return {}
    sure = [one for one in messages if not one.get("doubtful")]
    counts = Counter(str(one.get("class")) for one in sure)
    return {
        **{name: counts[kind] for kind, name in _COUNTS.items() if counts[kind]},
        "kernel.doubtful": len(messages) - len(sure) or None,
        "kernel.messages": ", ".join(dict.fromkeys(str(one.get("name")) for one in messages)),
        "kernel.first_message": str((sure or messages)[0].get("message") or ""),
    }


def told_stored(record: Record) -> list[str]:
    """A line for each test under which a kernel died that left something for its next boot."""
    found = []
    for case in record.cases:
        stored = [line for line in case.late if line.get("by") != "test"]  # a test attaches files, too
        paths = [str(one.get("path")) for line in stored for one in line.get("attachments") or ()]
        if paths:
            found.append(f"by the kernel that died in {case.nodeid}: {', '.join(paths)}")
    return found


def kernel_traces(messages: Sequence[Line]) -> str:
    """One after the other; the trace of a panic is the evidence of its error already."""
    traces = (str(one.get("trace") or "") for one in messages if one.get("class") not in ("fatal", "boot"))
    return "\n\n".join(trace for trace in traces if trace)
