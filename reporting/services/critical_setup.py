"""A site's categories, findings and chains, and the displays that hang on its walls."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from reporting import permissions as perms
from reporting.models import REQUESTER, AlertCategory, CriticalCategory, EscalationRule, FindingChoice, WallDisplay
from ris.audit.models import Action
from ris.audit.service import record, refused, service
from ris.core.actor import Actor
from ris.core.clock import database_now
from ris.core.errors import AlreadyExists, InvalidData, NotPermitted
from ris.notifications.models import Channel, Duty

PAIRING_MINUTES, PAIRING_TRIES, DISPLAY_DAYS = 15, 10, 365
DISPLAY_DOOR, PAIRED = "display", "reporting.pair_display"
ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


@service(perms.MANAGE_CRITICAL, action=Action.UPDATE)
def save_category(
    category: AlertCategory | None = None,
    *,
    findings: Iterable[str] | None = None,
    chain: Iterable[dict[str, Any]] | None = None,
    actor: Actor,
    **values: Any,
) -> AlertCategory:
    """A category of critical results, new or changed, with its findings and its chain where those are given.

    ``chain``: ``{contact, wait_minutes, channels}`` in the order of the levels. Alerts that run already follow the
    new chain from their next level on; their deadline stays.
    """
    row = category if category is not None else AlertCategory()
    for name in ("code", "name", "severity", "minutes", "needs_read_back", "tone", "icon", "is_solid", "position"):
        if name in values:
            setattr(row, name, values[name])
    row.is_active = values.get("is_active", row.is_active)
    errors = {}
    if not (row.code or "").strip():
        errors["code"] = _("Needed.")
    elif AlertCategory.objects.filter(code=row.code).exclude(pk=row.pk).exists():
        raise AlreadyExists(_("Another category has this code."), errors={"code": _("Taken.")})
    if not (row.name or "").strip():
        errors["name"] = _("Needed.")
    if row.severity not in CriticalCategory.values:
        errors["severity"] = _("1, 2 or 3.")
    if row.minutes is not None and row.minutes < 1:
        errors["minutes"] = _("At least one.")
    levels = list(chain) if chain is not None else None
    if levels is not None:
        errors.update(_wrong_chain(levels))
    if errors:
        raise InvalidData(_("This category cannot be kept."), errors=errors)
    row.save_as(actor, "Saved")
    if findings is not None:
        _keep_findings(row, findings, actor)
    if levels is not None:
        _keep_chain(row, levels, actor)
    return row


def category_by_code(code: str) -> AlertCategory:
    """The category of that code, in use. Raises InvalidData."""
    row = AlertCategory.objects.filter(code=code, is_active=True).first()
    if row is None:
        raise InvalidData(_("This category is not known."), errors={"alert_category": _("There is no such category.")})
    return row


def _wrong_chain(levels: list[dict[str, Any]]) -> dict[str, str]:
    if not levels:
        return {"chain": _("At least one level is needed.")}
    known = {REQUESTER, *Duty.objects.values_list("code", flat=True)}
    unknown = sorted({str(level.get("contact", "")) for level in levels} - known)
    if unknown:
        return {"chain": _("The rota has no duty “%(code)s”.") % {"code": unknown[0]}}
    for level in levels:
        wait = level.get("wait_minutes")
        if wait is not None and wait < 1:
            return {"chain": _("A level waits at least a minute.")}
        if not set(level.get("channels") or Channel.values) <= set(Channel.values):
            return {"chain": _("One of %(channels)s.") % {"channels": ", ".join(Channel.values)}}
    return {}


def _keep_findings(category: AlertCategory, findings: Iterable[str], actor: Actor) -> None:
    """These are offered from now on, in this order; what is not among them is switched off."""
    wanted = list(dict.fromkeys(text.strip()[:200] for text in findings if text.strip()))
    known = {row.text: row for row in category.findings.all()}
    for place, text in enumerate(wanted):
        row = known.pop(text, None) or FindingChoice(category=category, text=text)
        row.position, row.is_active = place, True
        row._history_user = actor.user
        row.save()
    for row in known.values():
        row.is_active = False
        row._history_user = actor.user
        row.save()


def _keep_chain(category: AlertCategory, levels: list[dict[str, Any]], actor: Actor) -> None:
    known = {row.level: row for row in category.chain.all()}
    for number, level in enumerate(levels):
        row = known.pop(number, None) or EscalationRule(category=category, level=number)
        row.contact, row.wait_minutes = level["contact"], level.get("wait_minutes")
        row.channels, row.is_active = list(level.get("channels") or Channel.values), True
        row._history_user = actor.user
        row.save()
    for row in known.values():
        row.is_active = False
        row._history_user = actor.user
        row.save()


# --- displays


def _digest(words: str) -> str:
    return hashlib.sha256(words.encode()).hexdigest()


@service(perms.MANAGE_DISPLAYS, action=Action.CREATE)
def prepare_display(*, label: str, actor: Actor) -> tuple[WallDisplay, str]:
    """A display to be, with the code that is typed on it within a quarter of an hour. The code is shown once."""
    if not label.strip():
        raise InvalidData(_("Say where it hangs."), errors={"label": _("Needed.")})
    code = "".join(secrets.choice(ALPHABET) for _place in range(8))
    now = database_now()
    display = WallDisplay(
        label=label.strip()[:80],
        pairing_digest=_digest(code),
        pairing_expires_at=now + timedelta(minutes=PAIRING_MINUTES),
        expires_at=now + timedelta(days=DISPLAY_DAYS),
        made_by=actor.user,
    )
    display.save_as(actor, "Prepared")
    return display, code


def pair_display(code: str, *, address: str = "") -> tuple[WallDisplay, str]:
    """What the screen itself asks for: the token it signs itself in with from now on. The code works once.

    That a screen was paired, and each guess that was not, stands in the audit with the address it came from.
    """
    actor = Actor(DISPLAY_DOOR, None, address=address[:64])
    clean = "".join(sign for sign in code.upper() if sign in ALPHABET)
    now, token = database_now(), secrets.token_urlsafe(32)
    with transaction.atomic():  # what was tried is kept, also when it is refused right after
        waiting = WallDisplay.objects.select_for_update().filter(
            revoked_at__isnull=True, digest="", pairing_expires_at__gt=now, pairing_tries__lt=PAIRING_TRIES
        )
        found = next((row for row in waiting if clean and row.pairing_digest == _digest(clean)), None)
        if found is not None:
            found.digest, found.pairing_digest, found.seen_at = _digest(token), "", now
            found.save()
            record(actor, PAIRED, Action.EXECUTE, entity=found)
        else:
            for row in waiting:  # a wrong guess counts against every code that waits
                WallDisplay.objects.filter(pk=row.pk).update(pairing_tries=row.pairing_tries + 1)
    if found is None:
        refusal = NotPermitted(
            _("This code does not work."),
            found=_("It is wrong, was used, or is older than %(count)d minutes.") % {"count": PAIRING_MINUTES},
            todo=_("Have a new one made on the page of the displays."),
        )
        refused(actor, PAIRED, Action.EXECUTE, refusal)
        raise refusal
    return found, token


@service(perms.MANAGE_DISPLAYS, action=Action.UPDATE)
def revoke_display(display: WallDisplay, *, actor: Actor) -> WallDisplay:
    """This screen shows nothing any more."""
    display = WallDisplay.locked(display.pk)
    display.revoked_at = display.revoked_at or database_now()
    display.digest = display.pairing_digest = ""
    display.save_as(actor, "Revoked")
    return display


def display_of(token: str) -> WallDisplay | None:
    """The display that holds this token, while it may show the board."""
    if not token:
        return None
    now = database_now()
    display = WallDisplay.objects.filter(digest=_digest(token), revoked_at__isnull=True, expires_at__gt=now).first()
    if display is not None and (display.seen_at is None or now - display.seen_at > timedelta(minutes=1)):
        WallDisplay.objects.filter(pk=display.pk).update(seen_at=now)
    return display
