"""Numbers that Python tests recorded, as results of their own: ``TEST.NAME``, with measurement and units."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_lava.results.bundle.parts import Bundle, attributes, date, exact_measurement, measurement, message
from pytest_lava.results.record import Case
from pytest_lava.results.slug import Namer
from pytest_lava.results.text import plain

__all__ = ["measured_results"]


def measured_results(case: Case, ids: Namer) -> Iterator[Bundle]:
    """One result for each number of a case; one that JSON has not in all its digits is an attribute, too."""
    for line in case.measured:
        size = measurement(line.get("value"))
        result: Bundle = {
            "test_case_id": ids.unique(f"{case.name}.{line.get('name')}"),
            "result": "fail" if line.get("result") == "fail" else "pass",
            "timestamp": date(str(line["time"])),
        }
        if line.get("message"):
            result["message"] = message(str(line["message"]))
        if size is not None:
            result["measurement"] = size
            if line.get("units"):
                result["units"] = plain(str(line["units"]))
        exact = exact_measurement(line.get("value"), size)
        told = {"nodeid": case.nodeid, "low": line.get("low"), "high": line.get("high"), "measurement": exact}
        result["attributes"] = attributes(told)
        yield result
