"""Spoken words become text: audio from the browser's microphone, sent on to a speech server of the facility's choice.

Off unless ``RIS_SPEECH_URL`` names one. Its host must be on the facility's allow-list like every other one outside. The
server gets the audio as the body (its content type as the browser recorded it) and the language as ``?language=``; it
answers ``{"text": …}``. Nothing that was spoken is kept or logged here.
"""

from __future__ import annotations

import httpx
from django.conf import settings
from django.utils.translation import gettext as _

from reporting import permissions as perms
from reporting.models import Report
from ris.accounts.outbound import fetch_json
from ris.audit.models import Action
from ris.audit.service import record
from ris.core.actor import Actor
from ris.core.errors import InvalidData, InvalidTransition

KINDS = ("audio/webm", "audio/ogg", "audio/mp4", "audio/wav", "audio/mpeg")
LONGEST = 20_000
LISTENS_FOR = 30.0  # seconds, from the first byte sent to the last one heard


def is_offered() -> bool:
    return bool(settings.RIS_SPEECH_URL)


def words_of(report: Report, audio: bytes, *, content_type: str, language: str, actor: Actor) -> str:
    """What the speech server hears. Raises HostNotAllowed, OutsideFailed, InvalidData."""
    actor.require(perms.WRITE_REPORT)
    if not is_offered():
        raise InvalidTransition(
            _("Dictation is not set up here."), todo=_("An administrator names a speech server (RIS_SPEECH_URL).")
        )
    kind = content_type.split(";")[0].strip().lower()
    if kind not in KINDS:
        raise InvalidData(_("This is no audio."), errors={"audio": _("One of: %s.") % ", ".join(KINDS)})
    headers = {"Content-Type": kind}
    if settings.RIS_SPEECH_TOKEN:
        headers["Authorization"] = f"Bearer {settings.RIS_SPEECH_TOKEN}"
    url = httpx.URL(settings.RIS_SPEECH_URL).copy_merge_params({"language": language})
    record(actor, "reporting.dictate", Action.EXECUTE, entity=report, detail={"bytes": len(audio)})
    answer = fetch_json("POST", str(url), seconds=LISTENS_FOR, content=audio, headers=headers)
    text = answer.get("text", "")
    return str(text).replace("\0", "").strip()[:LONGEST]
