"""XML-RPC over the HTTP client of all sinks: Python's marshalling, our time limits and classification of failures.

Format: http://xmlrpc.com/spec.md; codes below -32000 are those of https://xmlrpc-epi.sourceforge.net/specs/rfc.fault_codes.php.
"""

from __future__ import annotations

import xmlrpc.client
from xml.parsers.expat import ExpatError

from pytest_lava.deadline import Deadline
from pytest_lava.sinks.api import SinkBusy
from pytest_lava.sinks.http_client import Answer, HttpClient

__all__ = ["UNKNOWN_METHOD", "Fault", "XmlRpc"]

#: the server has no such method
UNKNOWN_METHOD = -32601
#: what Python's parser raises for an answer that is XML, but not as the format has it
_DAMAGED = (ExpatError, xmlrpc.client.Error, ValueError, TypeError, LookupError, AttributeError, OverflowError)


class Fault(Exception):
    """The server understood, and says no: its ``code``, and its own words as ``text``."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{text} ({code})")
        self.code, self.text = code, text


class XmlRpc:
    """One endpoint. ``auth`` is user and token, or None; ``prefix`` is put before each method's name."""

    def __init__(self, http: HttpClient, url: str, *, auth: tuple[str, str] | None = None, prefix: str = "") -> None:
        self._http, self._url, self._auth, self._prefix = http, url, auth, prefix

    def call(self, method: str, *params: str, deadline: Deadline) -> object:
        """Call ``method`` and return its answer: text, numbers, bools, lists, dicts, datetimes, None.

        Raises ``Fault`` if the server says no, ``SinkBusy`` or ``SinkRefused`` as :class:`HttpClient` does, and
        ``SinkBusy`` for an answer that is cut short or that something else than the server gave.
        """
        body = xmlrpc.client.dumps(params, self._prefix + method, allow_none=True).encode()
        headers = {"Content-Type": "text/xml", "Accept": "text/xml, application/xml"}
        answer = self._http.request("POST", self._url, deadline, data=body, headers=headers, auth=self._auth)
        return self._read(answer)

    def _read(self, answer: Answer) -> object:
        try:
            values, method = xmlrpc.client.loads(answer.body, use_builtin_types=True)
        except xmlrpc.client.Fault as fault:
            raise Fault(int(fault.faultCode), str(fault.faultString)) from None
        except _DAMAGED:
            values, method = (), None
        if len(values) != 1 or method is not None:
            raise SinkBusy(
                f"{self._url} gave no XML-RPC answer: if it is the right URL, something between here and there "
                f"answered for it, or cut it short{answer.said()}"
            )
        return values[0]
