"""Small values of a bundle: dates, durations, attributes, attachments."""

from __future__ import annotations

import base64
import binascii
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pytest_lava.results.mime import BINARY, TEXT
from pytest_lava.results.record import finite
from pytest_lava.results.text import ascii_only, plain

__all__ = [
    "Bundle",
    "attachment",
    "attributes",
    "date",
    "duration",
    "encoded_attachment",
    "error_attributes",
    "exact_measurement",
    "measurement",
    "message",
]

#: a bundle or a part of it
Bundle = dict[str, Any]

MESSAGE_LIMIT = 1024


def date(moment: object) -> str:
    """An ISO 8601 time as ``%Y-%m-%dT%H:%M:%SZ``; the epoch if it cannot be read (a date is required)."""
    try:
        found = datetime.fromisoformat(str(moment))
        # a time without zone must not mean something else on another host
        utc = found.astimezone(UTC) if found.tzinfo else found
    except (ValueError, OverflowError):
        return "1970-01-01T00:00:00Z"
    return f"{utc.replace(tzinfo=None, microsecond=0).isoformat()}Z"


def duration(seconds: float) -> str:
    """Seconds as ``0d 1s 134us``, the only form that the importer reads."""
    micro = max(seconds, 0.0) * 1e6
    whole, us = divmod(round(micro) if math.isfinite(micro) else 0, 1_000_000)
    days, rest = divmod(whole, 86_400)
    return f"{days}d {rest}s {us}us"


def message(text: str) -> str:
    """``text`` as the message of a result: at most 1024 characters, no control characters."""
    clean = plain(text).strip()
    return clean if len(clean) <= MESSAGE_LIMIT else clean[: MESSAGE_LIMIT - 3] + "..."


def measurement(value: object) -> float | int | None:
    """``value`` as a number that every reader of JSON has, which are floats; None if it is none, or too large for one.

    Ten digits behind the point, as a dashboard has no more; so what it gets is this very bundle, byte for byte, but for
    numbers from 1e10 on, which are the sink's affair. The format itself bounds it in no way.
    """
    found = finite(value)
    if found is None:
        return None
    return value if isinstance(value, int) and found == value else round(found, 10)


def exact_measurement(value: object, size: float | None) -> str | None:
    """``value`` in its own digits where ``size``, as :func:`measurement` has it, is not the very same; else None."""
    text = str(value).strip()
    if value is None or size is None:
        return text if value is not None else None
    return None if Decimal(text) == Decimal(repr(size)) else text


def attributes(values: dict[str, object]) -> dict[str, str]:
    """``values`` as attributes: ASCII text; what is None or empty is left out."""
    named = {ascii_only(name).strip(): value for name, value in values.items()}
    return {name: ascii_only(_word(value)) for name, value in named.items() if name and value not in (None, "")}


def error_attributes(error: Bundle) -> dict[str, object]:
    """A classified error as attributes: LAVA's ``error_type`` and ``error_msg``, our class, blame, effect and facts."""
    if not error:
        return {}
    facts = error.get("facts")
    return {
        **(facts if isinstance(facts, dict) else {}),
        "error_type": str(error.get("blame") or "bug").capitalize(),
        "error_msg": message(str(error.get("message") or "")),
        "error.class": error.get("type"),
        "error.blame": error.get("blame"),
        "error.effect": error.get("effect"),
    }


def attachment(pathname: str, data: bytes | str | None, *, mime: str = "text/plain", url: str = "") -> Bundle:
    """``data`` (text as UTF-8) as an attachment; without data only where it can be found."""
    if data is None:
        return {**_named(pathname, mime), "public_url": url}
    raw = data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data
    return {**_named(pathname, mime), "content": base64.b64encode(raw).decode()}


def encoded_attachment(pathname: str, content: object) -> list[Bundle]:
    """Base64 text from the journal as an attachment; none if there is no text or it is damaged."""
    if not isinstance(content, str):
        return []
    try:
        data = binascii.a2b_base64(content, strict_mode=True)
    except ValueError:
        return []
    return [{**_named(pathname, BINARY if b"\0" in data else TEXT), "content": content}]


def _named(pathname: str, mime: str) -> Bundle:
    return {"pathname": plain(pathname)[-256:], "mime_type": plain(mime)[:64]}


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
