"""``{% load reading %}``: the rows of the reading list, made in one go.

Fifty rows are shown and polled for all day long: words and icons are put together once a language, addresses once.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from html import escape
from typing import Any
from uuid import UUID

from django import template
from django.template import Context
from django.urls import get_script_prefix, get_urlconf, reverse
from django.utils import dateformat, timezone
from django.utils.html import conditional_escape as esc
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, gettext_noop
from django.utils.translation import gettext as _

from ris.core import text, vocabulary
from ris.core.templatetags.picha import SOON_SHARE, chip_html, flag, priority, status, svg

register = template.Library()

NOBODY = UUID(int=0)
MARK = "\x1f"
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
    """Icon and word of each button, and the words with a number in them, once a language."""
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
    return made | {
        "read": str(esc(_("Read"))),
        "dots": str(svg("dots", "s")),
        "choose": str(esc(_("Choose %(a)s"))),
        "more": str(esc(_("More for %(a)s"))),
    }


HEAD = """
<tr id="r-%(uuid)s" tabindex="-1"%(stat)s>
<td class="pick"><input type="checkbox" form="batch" name="procedure" value="%(uuid)s" tabindex="-1" aria-label="%(choose)s"></td>
<td>%(left)s</td>
"""  # noqa: E501
CELLS = {
    "priority": '<td class="c-priority">%(priority)s</td>',
    "patient": '<td class="rp-name"><span class="nm trunc d-block" title="%(name)s">%(name)s</span>'
    '<span class="l2">%(line)s</span></td>',
    "exam": '<td class="rp-exam"><span class="trunc d-block" title="%(exam)s">%(exam)s</span>'
    '<span class="l2 trunc"><span class="mono">%(number)s</span>%(where)s</span></td>',
    "images": '<td class="c-images">%(images)s<span class="l2">%(complete)s</span></td>',
    "question": '<td class="fluid c-question"><span class="trunc d-block" title="%(question)s">%(question)s</span>'
    '<span class="l2 trunc">%(origin)s</span></td>',
    "priors": '<td class="c-priors">%(priors)d<span class="l2">%(last)s</span></td>',
    "status": '<td class="c-status">%(state)s</td>',
    "flags": '<td class="nowrap c-flags">%(flags)s</td>',
}
END = '<td class="act">%(acts)s</td></tr>\n'


@functools.lru_cache(maxsize=64)
def _row_in(order: tuple[str, ...]) -> str:
    """A row with its cells in the order that its reader likes."""
    return HEAD + "\n".join(CELLS[name] for name in order) + "\n" + END


@register.simple_tag(takes_context=True)
def reading_rows(context: Context, rows: Any) -> SafeString:
    """The rows of the list, from what ``selectors.reading_list`` and ``dress`` gave them."""
    language, several_sites = get_language(), context.get("several_sites")
    acts = Acts(
        _labels(language),
        context["request"].user.pk,
        bool(context.get("may_read")),
        bool(context.get("may_assign")),
        bool(context.get("may_send_back")),
    )
    form = _row_in(tuple(context.get("order") or CELLS))
    return mark_safe("".join(form % _row(row, acts, several_sites, language) for row in rows))  # each part is escaped


def _row(row: Any, acts: Acts, several_sites: bool, language: str | None) -> dict[str, Any]:
    order, number = row.order, escape(row.accession_number)
    where = [row.station_name] if row.station_name else []
    where += [order.site.name] if several_sites and order.site is not None else []
    name, exam = escape(text.person_name(order.patient)), escape(row.description_with_side)
    question = escape(order.indication or "–")
    return {
        "uuid": row.uuid,
        "stat": " data-stat" if order.priority == "stat" else "",
        "choose": acts.label["choose"] % {"a": number},
        "left": _sla(row, number, language),
        "priority": _priority(order.priority, language),
        "name": name,
        "line": escape(text.line_of(order.patient)),
        "exam": exam,
        "number": number,
        "where": escape("".join(f" · {place}" for place in where)),
        "images": text.thousands(row.image_count),
        "complete": text.clock(row.images_complete_at),
        "question": question,
        "origin": escape(_origin(order)),
        "priors": row.prior_count,
        "last": escape(_month(row.last_prior_at)),
        "state": _state(row, acts.user, language),
        "flags": _flags(row, language),
        "acts": _acts(row, acts),
    }


def _month(moment: Any) -> str:
    return dateformat.format(timezone.localtime(moment), "M Y") if moment else ""


@functools.lru_cache(maxsize=64)
def _priority(code: str, _language: str | None) -> str:
    return str(priority(code))


@functools.lru_cache(maxsize=64)
def _waits(code: str, _language: str | None) -> tuple[str, str]:
    """The chip of an exam that only waits, before and after the time since when."""
    look = vocabulary.status_look(code)
    head, _mark, tail = chip_html(look, title=f"{look.text} · {MARK}").partition(MARK)
    return head, tail


@functools.lru_cache(maxsize=256)
def _chip(code: str, words: str, _language: str | None) -> str:
    return str(status(code, words))


@functools.lru_cache(maxsize=64)
def _flag(tone: str, icon: str, words: str, _language: str | None) -> str:
    return str(flag(tone, icon, _(words)))


@functools.lru_cache(maxsize=16)
def _left(state: str, _language: str | None) -> tuple[str, str]:
    """Icon, and words around the time that is left."""
    symbol = {"ok": "clock", "soon": "hourglass-high", "over": "alarm"}[state]
    return str(svg(symbol)), str(esc(_("Over {t}") if state == "over" else _("{t} left")))


def _sla(row: Any, number: str, language: str | None) -> str:
    """What ``{% sla %}`` makes, without asking for the words again."""
    minutes, total = row.minutes_left, row.minutes_total
    state = "over" if minutes < 0 else "soon" if minutes <= total * SOON_SHARE else "ok"
    symbol, words = _left(state, language)
    used = max(0, min(100, round(100 * (1 - minutes / total))))
    return (
        f'<span class="sla {state}" data-left="{minutes}" data-total="{total}" data-what="{number}">{symbol}'
        f"<span>{words.format(t=text.duration(abs(minutes)))}</span>"
        f'<progress max="100" value="{used}" aria-hidden="true"></progress></span>'
    )


def _state(row: Any, user: int, language: str | None) -> str:
    """The chip that says who has it, or for whom it waits."""
    if row.read_by is not None:
        who = row.read_by.display_name
        return _chip("reading", _("Reading: you") if row.is_mine else _("Reading: %(who)s") % {"who": who}, language)
    if row.status == "preliminary" and row.report is not None:
        return _chip("preliminary", _("Preliminary: %(who)s") % {"who": _name(row.report.preliminary_by)}, language)
    if row.status == "reading":
        return _chip("partial", _("Draft, free"), language)
    if row.place is not None and row.place.assigned_to is not None:
        own = row.place.assigned_to_id == user
        words = _("For you") if own else _("For %(who)s") % {"who": _name(row.place.assigned_to)}
        return _chip("assigned", words, language)
    head, tail = _waits(row.status, language)
    return f"{head}{text.stamp(row.status_changed_at)}{tail}"


def _name(user: Any) -> str:
    return user.display_name if user is not None else ""


FLAGS = (
    (lambda row: row.has_critical, "red", "alert-octagon", gettext_noop("Critical result open")),
    (
        lambda row: row.order.patient.identity_is_unverified,
        "orange",
        "alert-triangle",
        gettext_noop("Identity not confirmed"),
    ),
    (lambda row: row.has_reaction, "red", "heartbeat", gettext_noop("The patient had a reaction")),
    (lambda row: row.is_my_draft, "indigo", "file-pencil", gettext_noop("Your draft")),
    (lambda row: row.came_back, "teal", "rotate-clockwise", gettext_noop("Came back from the technologist")),
    (lambda row: row.has_note, "blue", "message", gettext_noop("Technologist note")),
)


def _flags(row: Any, language: str | None) -> str:
    shown = [_flag(tone, icon, words, language) for holds, tone, icon, words in FLAGS if holds(row)]
    if row.contrast:
        shown.append(flag("blue", "droplet", row.contrast))
    shown += [flag("red", "flask", alert.text) for alert in row.order.patient.alert_rows.all() if alert.is_active]
    return "".join(shown)  # each is escaped by the tag that made it


@dataclass(frozen=True)
class Acts:
    """Words, and what the person may do."""

    label: dict[str, str]
    user: int
    may_read: bool
    may_assign: bool
    may_send_back: bool


def _acts(row: Any, acts: Acts) -> str:
    """What can be done with a row: the one button, and the menu behind the dots."""
    label, uuid = acts.label, row.uuid
    parts = ['<span class="ra">']
    if row.read_by is not None and not row.is_mine and row.report is not None:
        address = _address("report_edit", row.report.uuid)
        parts.append(f'<a class="btn btn-sm" href="{address}" data-open data-key="v">{label["view"]}</a>')
    elif acts.may_read:
        parts.append(
            f'<button class="btn btn-sm btn-primary" form="act" name="procedure" value="{uuid}" data-read>'
            f'{label["read"]} <span class="kbd" aria-hidden="true">↵</span></button>'
        )
    more = label["more"] % {"a": escape(row.accession_number)}
    parts.append(
        f'\n<details class="pi-menu end row-menu"><summary class="btn btn-sm btn-icon" aria-label="{more}">'
        f'{label["dots"]}</summary><div class="pi-pop">'
        f'<a href="{_address("reading_exam", uuid)}" data-key="v">{label["look"]}</a>'
    )
    if row.image_count:
        parts.append(f'<a href="{_address("viewer_exam", uuid)}">{label["images"]}</a>')
    if acts.may_read:
        parts.append(_own_act(row, label, acts.user))
    if acts.may_assign:
        parts.append(f'<a href="{_address("reading_assign", uuid)}" data-key="a">{label["assign"]}</a>')
    if acts.may_send_back and row.status != "preliminary":
        parts.append(f'<a href="{_address("reading_send_back", uuid)}">{label["back"]}</a>')
    return "".join((*parts, "</div></details></span>"))  # words and addresses are escaped above


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
