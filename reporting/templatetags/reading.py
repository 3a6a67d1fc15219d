"""``{% load reading %}``: a row of the reading list, made in one go.

Fifty rows are shown and polled for all day long: words and icons are put together once a language, addresses once.
"""

from __future__ import annotations

import functools
from typing import Any
from uuid import UUID

from django import template
from django.template import Context
from django.urls import get_script_prefix, get_urlconf, reverse
from django.utils import formats, timezone
from django.utils.html import conditional_escape as esc
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from ris.core import text
from ris.core.templatetags.picha import flag, patient_line, priority, sla, status, svg

register = template.Library()

NOBODY = UUID(int=0)
ADDRESSES = (
    "report_edit",
    "reading_exam",
    "viewer_exam",
    "reading_release",
    "reading_ask",
    "reading_claim",
    "reading_assign",
    "reading_send_back",
)


@functools.lru_cache(maxsize=8)
def _addresses(_urlconf: str | None, _prefix: str) -> dict[str, tuple[str, str]]:
    """What stands before and after the exam's UUID in each address."""
    found = {}
    for name in ADDRESSES:
        head, _uuid, tail = reverse(name, args=[NOBODY]).partition(str(NOBODY))
        found[name] = (str(esc(head)), str(esc(tail)))
    return found


def _address(name: str, uuid: UUID) -> str:
    head, tail = _addresses(get_urlconf(), get_script_prefix())[name]
    return f"{head}{uuid}{tail}"


@functools.lru_cache(maxsize=16)
def _labels(_language: str | None) -> dict[str, str]:
    """Icon and word of each button."""
    labels = {
        "view": ("eye", _("View")),
        "look": ("eye", _("View only")),
        "images": ("photo", _("Images")),
        "release": ("lock-open", _("Release")),
        "ask": ("message", _("Ask for it")),
        "claim": ("hand-grab", _("Claim")),
        "assign": ("user-check", _("Assign")),
        "back": ("arrow-back-up", _("Send back")),
    }
    made = {key: f"{svg(icon, 's')}{esc(words)}" for key, (icon, words) in labels.items()}
    return made | {"read": str(esc(_("Read"))), "dots": str(svg("dots", "s"))}


ROW = """
<tr id="r-{uuid}" tabindex="-1"{stat}>
<td class="pick"><input type="checkbox" form="batch" name="procedure" value="{uuid}" tabindex="-1" aria-label="{choose}"></td>
<td>{left}</td>
<td class="c-priority">{priority}</td>
<td class="rp-name"><span class="nm trunc d-block" title="{name}">{name}</span><span class="l2">{line}</span></td>
<td class="rp-exam"><span class="trunc d-block" title="{exam}">{exam}</span><span class="l2 trunc"><span class="mono">{number}</span>{where}</span></td>
<td class="c-images">{images}<span class="l2">{complete}</span></td>
<td class="fluid c-question"><span class="trunc d-block" title="{question}">{question}</span><span class="l2 trunc">{origin}</span></td>
<td class="c-priors">{priors}<span class="l2">{last}</span></td>
<td class="c-status">{state}</td>
<td class="nowrap c-flags">{flags}</td>
<td class="act">{acts}</td></tr>
"""  # noqa: E501


@register.simple_tag(takes_context=True)
def reading_row(context: Context, row: Any) -> SafeString:
    """A row of the list, from what ``selectors.reading_list`` and ``dress`` gave it."""
    order, user, number = row.order, context["request"].user.pk, row.accession_number
    where = [row.station_name] if row.station_name else []
    where += [order.site.name] if context.get("several_sites") and order.site is not None else []
    return format_html(
        ROW,
        uuid=row.uuid,
        stat=mark_safe(" data-stat") if order.priority == "stat" else "",
        choose=_("Choose %(a)s") % {"a": number},
        left=sla(row.minutes_left, row.minutes_total, number),
        priority=_priority(order.priority, get_language()),
        name=text.person_name(order.patient),
        line=patient_line(order.patient),
        exam=row.description_with_side,
        number=number,
        where="".join(f" · {name}" for name in where),
        images=text.thousands(row.image_count),
        complete=text.clock(row.images_complete_at),
        question=order.indication or "–",
        origin=_origin(order),
        priors=row.prior_count,
        last=formats.date_format(timezone.localtime(row.last_prior_at), "M Y") if row.last_prior_at else "",
        state=_state(row, user),
        flags=_flags(row),
        acts=_acts(context, row, user),
    )


@functools.lru_cache(maxsize=64)
def _priority(code: str, _language: str | None) -> SafeString:
    return priority(code)


def _state(row: Any, user: int) -> SafeString:
    """The chip that says who has it, or for whom it waits."""
    if row.read_by is not None:
        who = row.read_by.display_name
        return status("reading", _("Reading: you") if row.is_mine else _("Reading: %(who)s") % {"who": who})
    if row.status == "preliminary" and row.report is not None:
        return status("preliminary", _("Preliminary: %(who)s") % {"who": _name(row.report.preliminary_by)})
    if row.status == "reading":
        return status("partial", _("Draft, free"))
    if row.place is not None and row.place.assigned_to is not None:
        own = row.place.assigned_to_id == user
        return status("assigned", _("For you") if own else _("For %(who)s") % {"who": _name(row.place.assigned_to)})
    return status(row)


def _name(user: Any) -> str:
    return user.display_name if user is not None else ""


def _flags(row: Any) -> SafeString:
    patient = row.order.patient
    shown = []
    if row.has_critical:
        shown.append(flag("red", "alert-octagon", _("Critical result open")))
    if patient.identity_is_unverified:
        shown.append(flag("orange", "alert-triangle", _("Identity not confirmed")))
    if row.has_reaction:
        shown.append(flag("red", "heartbeat", _("The patient had a reaction")))
    if row.is_my_draft:
        shown.append(flag("indigo", "file-pencil", _("Your draft")))
    if row.came_back:
        shown.append(flag("teal", "rotate-clockwise", _("Came back from the technologist")))
    if row.has_note:
        shown.append(flag("blue", "message", _("Technologist note")))
    if row.contrast:
        shown.append(flag("blue", "droplet", row.contrast))
    shown += [flag("red", "flask", alert.text) for alert in patient.alert_rows.all() if alert.is_active]
    return mark_safe("".join(shown))  # each is escaped by the tag that made it


def _acts(context: Context, row: Any, user: int) -> SafeString:
    """What can be done with a row: the one button, and the menu behind the dots."""
    label, may_read, uuid = _labels(get_language()), context.get("may_read"), row.uuid
    parts = ['<span class="ra">']
    if row.read_by is not None and not row.is_mine and row.report is not None:
        address = _address("report_edit", row.report.uuid)
        parts.append(f'<a class="btn btn-sm" href="{address}" data-open data-key="v">{label["view"]}</a>')
    elif may_read:
        parts.append(
            f'<button class="btn btn-sm btn-primary" form="act" name="procedure" value="{uuid}" data-read>'
            f'{label["read"]} <span class="kbd" aria-hidden="true">↵</span></button>'
        )
    more = esc(_("More for %(a)s") % {"a": row.accession_number})
    parts.append(
        f'\n<details class="pi-menu end row-menu"><summary class="btn btn-sm btn-icon" aria-label="{more}">'
        f'{label["dots"]}</summary><div class="pi-pop">'
        f'<a href="{_address("reading_exam", uuid)}" data-key="v">{label["look"]}</a>'
    )
    if row.image_count:
        parts.append(f'<a href="{_address("viewer_exam", uuid)}">{label["images"]}</a>')
    if may_read:
        parts.append(_own_act(row, label, user))
    if context.get("may_assign"):
        parts.append(f'<a href="{_address("reading_assign", uuid)}" data-key="a">{label["assign"]}</a>')
    if context.get("may_send_back") and row.status != "preliminary":
        parts.append(f'<a href="{_address("reading_send_back", uuid)}">{label["back"]}</a>')
    return mark_safe("".join((*parts, "</div></details></span>")))  # words and addresses are escaped above


def _own_act(row: Any, label: dict[str, str], user: int) -> str:
    if row.is_mine or (row.place is not None and row.place.assigned_to_id == user):
        name, key = "release", ""
    elif row.read_by is not None:
        name, key = "ask", ""
    else:
        name, key = "claim", ' data-key="c"'
    address = _address(f"reading_{name}", row.uuid)
    return f'<button class="mi" form="act" formaction="{address}"{key}>{label[name]}</button>'


def _origin(order: Any) -> str:
    """Class, place and who asked, under the clinical question."""
    parts = [order.get_patient_class_display()] if order.patient_class != "O" else []
    parts += [order.location] if order.location else []
    parts += [order.requester.display_name] if order.requester is not None else []
    return " · ".join(str(part) for part in parts)
