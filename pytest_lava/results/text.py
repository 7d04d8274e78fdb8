"""Text as a dashboard, an XML parser or a person can take it: without escape sequences and control characters."""

from __future__ import annotations

import re

__all__ = ["ascii_only", "both_ends", "plain", "strip_ansi", "tail", "xml_text"]

# ECMA-48: CSI, OSC (ended by BEL or ST), the other strings (DCS, SOS, PM, APC), then two-character escapes
_ANSI = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[PX^_][^\x1b]*\x1b\\|\x1b[ -/]*[0-Z\\^-~]"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_NOT_ASCII = re.compile(r"[^\t\n\x20-\x7e]")
# https://www.w3.org/TR/xml/#charsets; \r is valid, but a parser would turn it into \n
_NOT_XML = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def strip_ansi(text: str) -> str:
    """``text`` without terminal escape sequences."""
    return _ANSI.sub("", text) if "\x1b" in text else text


def plain(text: str) -> str:
    """``text`` that a database takes: control characters and lone surrogates become visible ``\\x00`` escapes."""
    if text.isprintable():
        return text
    return _CONTROL.sub(_escape, strip_ansi(text).replace("\r\n", "\n"))


def ascii_only(text: str) -> str:
    """``text`` with everything beyond printable ASCII escaped; dashboards apply ``str()`` to attribute values."""
    if text.isascii() and text.isprintable():
        return text
    return _NOT_ASCII.sub(_escape, strip_ansi(text).replace("\r\n", "\n"))


def xml_text(text: str) -> str:
    """``text`` that is valid in XML 1.0; what is not is shown as ``#x1B``, as pytest itself does."""
    if text.isprintable():
        return text
    return _NOT_XML.sub(lambda found: f"#x{ord(found[0]):02X}", strip_ansi(text).replace("\r\n", "\n"))


def tail(text: str, limit: int) -> str:
    """The last ``limit`` characters of ``text``, with a line that says how much was cut."""
    if len(text) <= limit:
        return text
    return f"[the first {len(text) - limit} characters are cut]\n{text[-limit:]}"


def both_ends(text: str, lines: int, limit: int, where: str) -> str:
    """At most ``lines`` lines and ``limit`` characters of each end, with a line that says where the others are."""
    parts = text.splitlines()
    if len(parts) <= 2 * lines and len(text) <= 2 * limit:
        return text
    head = "\n".join(parts[:lines])[:limit]
    rest = parts[lines:] if len(parts) <= 2 * lines else parts[-lines:]
    end = "\n".join(rest)[-limit:] or text[-limit:]
    return f"{head}\n[{len(text) - len(head) - len(end)} characters left out: {where}]\n{end}"


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
