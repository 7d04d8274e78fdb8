"""Measurements as a dashboard's database has room for them: NUMERIC(20,10), ten digits before the point and ten behind.

Source: ``TestResult.measurement`` of lava-dashboard 0.29. One number beyond that costs the import of the whole bundle.
"""

from __future__ import annotations

from typing import Any

__all__ = ["fit_numbers"]

_DIGITS = 10
_LIMIT = 10.0**_DIGITS


def fit_numbers(document: dict[str, Any]) -> bool:
    """Round what has more digits behind the point, and make an attribute of what is too large; whether any was.

    The attribute ``measurement`` has the number as it was in both cases.
    """
    results = [result for run in document.get("test_runs", ()) for result in run["test_results"]]
    changed = [_fitted(result) for result in results if "measurement" in result]
    return any(changed)


def _fitted(result: dict[str, Any]) -> bool:
    size = result["measurement"]
    fitting = round(size, _DIGITS) if isinstance(size, float) else size
    too_large = abs(fitting) >= _LIMIT
    if fitting == size and not too_large:
        return False
    told = result.setdefault("attributes", {})
    told.setdefault("measurement", repr(size))
    if too_large:
        del result["measurement"]
        if units := result.pop("units", ""):  # which requires a measurement
            told.setdefault("units", units.encode("ascii", "backslashreplace").decode())
    else:
        result["measurement"] = fitting
    return True
