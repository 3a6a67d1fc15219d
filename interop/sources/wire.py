"""HTTP to a source: to allowed hosts only, within the run's time and size, and every failure in words.

What the other side says in an error may be repeated when it is short text of an API; what was asked (with its
credentials) and what a body holds never are.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

import httpx
from django.utils.translation import gettext as _

from ris.accounts.outbound import AnswerTooLarge, Deadline, HostNotAllowed, OutsideFailed, PinnedTransport
from ris.core.errors import DomainError

LARGEST_BODY = 64 * 1024 * 1024
QUIET_AT_MOST = 30.0  # seconds without a byte
WORDS_SHOWN = 160


class SourceFailed(DomainError):
    """The source could not be asked. ``reason``: outage, refused, malformed, too_slow, too_large, settings."""

    code = "source_failed"
    http_status = 502

    def __init__(self, detail: str, *, reason: str, todo: str = "") -> None:
        super().__init__(detail, todo=todo)
        self.reason = reason


class Wire:
    """One run's connection. Every request ends by the deadline, a slow drip as well as silence."""

    def __init__(self, *, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
        deadline = Deadline(until=self.deadline)
        self._client = httpx.Client(
            transport=PinnedTransport(deadline=deadline, largest=LARGEST_BODY, may_be_packed=True),
            follow_redirects=False,
            trust_env=False,
        )

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.close()

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    def check_time(self) -> None:
        if self.left <= 0:
            raise SourceFailed(
                _("The run took longer than it may."),
                reason="too_slow",
                todo=_("Allow it more time, or read fewer rows at once; what was read is kept."),
            )

    def json(self, method: str, url: str, **options: Any) -> Any:
        """The JSON that the other side answers. Raises SourceFailed; HTTP errors keep the words of the API."""
        status, body = self.exchange(method, url, **options)
        if status != httpx.codes.OK:
            raise refusal_of(status, body)
        return self.parsed(body)

    @staticmethod
    def parsed(body: bytes, kind: type = object) -> Any:
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            raise SourceFailed(
                _("The source answered something that is no JSON."),
                reason="malformed",
                todo=_("Look whether the address is that of the API and not of a page."),
            ) from None
        if not isinstance(found, kind):
            raise SourceFailed(_("The source did not answer as agreed."), reason="malformed")
        return found

    def exchange(self, method: str, url: str, **options: Any) -> tuple[int, bytes]:
        self.check_time()
        quiet = max(0.1, min(QUIET_AT_MOST, self.left))
        timeout = httpx.Timeout(quiet, connect=min(10.0, quiet))
        parts: list[bytes] = []
        size = 0
        try:
            with self._client.stream(method, url, timeout=timeout, **options) as response:
                for part in response.iter_bytes():
                    size += len(part)
                    if size > LARGEST_BODY:
                        raise AnswerTooLarge("The answer is too large.")
                    self.check_time()
                    parts.append(part)
                return response.status_code, b"".join(parts)
        except AnswerTooLarge:
            raise SourceFailed(
                _("The answer of the source is too large."), reason="too_large", todo=_("Read fewer rows at once.")
            ) from None
        except httpx.TimeoutException:
            self.check_time()
            raise SourceFailed(_("The source does not answer in time."), reason="outage") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError):
            raise SourceFailed(_("The source cannot be reached, or broke off."), reason="outage") from None
        except HostNotAllowed as refusal:
            raise SourceFailed(refusal.detail, reason="settings", todo=refusal.todo) from None
        except OutsideFailed as refusal:
            raise SourceFailed(refusal.detail, reason="outage") from None


def refusal_of(status: int, body: bytes) -> SourceFailed:
    said = said_in(body)
    words = _("The source answered %(status)d.") % {"status": status}
    if status in (401, 403):
        words = _("The source refused us (%(status)d): the credentials are wrong, or may not read this.") % {
            "status": status
        }
        return SourceFailed(f"{words} {said}".strip(), reason="refused", todo=_("Enter the credentials again."))
    if status in (429, 500, 502, 503, 504):
        return SourceFailed(f"{words} {said}".strip(), reason="outage")
    return SourceFailed(f"{words} {said}".strip(), reason="settings")


def said_in(body: bytes) -> str:
    """The ``error`` of a JSON or XML answer as REDCap writes them, shortened; nothing of any other body."""
    text = body[:4000].decode("utf-8", errors="replace")
    try:
        found = json.loads(text)
        said = found.get("error", "") if isinstance(found, dict) else ""
    except ValueError:
        match = re.search(r"<error>(.*?)</error>", text, re.DOTALL)
        said = match[1] if match else ""
    said = re.sub(r"<!\[CDATA\[|\]\]>|<[^>]{0,80}>", "", str(said))
    said = re.sub(r"[0-9A-Fa-f]{20,}", "…", re.sub(r"\s+", " ", said)).strip()
    return f"“{said[:WORDS_SHOWN]}”" if said else ""
