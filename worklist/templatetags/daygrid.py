"""The cards of the day grid: hundreds on a page, so they are written by hand and not by a template each."""

from __future__ import annotations

from functools import cache
from uuid import UUID

from django import template
from django.template import Context
from django.urls import reverse
from django.utils import formats, timezone
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from orders.models import ProcedureStatus
from ris.core import text
from ris.core.templatetags.picha import patient_line, priority, svg
from ris.core.vocabulary import Look, status_look
from worklist.models import ReservationKind
from worklist.selectors.day import Closed, Column, Entry, Todo
from worklist.services.slots import DEFAULT_MINUTES

register = template.Library()

NOWHERE = UUID(int=0)
#: From so many units on a card has two lines; on the larger grid earlier.
TWO_LINES, TWO_LINES_LARGE = 6, 4


@cache
def _address() -> tuple[str, str]:
    """What stands before and behind the UUID in the address of an appointment."""
    before, _nowhere, behind = reverse("appointment_detail", args=[NOWHERE]).partition(str(NOWHERE))
    return before, behind


@cache
def _dress(look: Look, language: str | None) -> tuple[str, SafeString, str]:
    """Classes, icon and words of a status in the reader's language."""
    return f"t-{look.tone}{' dash' if look.edge == 'dash' else ''}", svg(look.icon), str(look.text)


@cache
def _flag(name: str) -> SafeString:
    return svg(name)


@register.simple_tag(takes_context=True)
def day_cards(context: Context, column: Column) -> SafeString:
    """All cards of a column. ``may_book`` of the context makes those movable that are still to come."""
    may_move = bool(context.get("may_book"))
    least = TWO_LINES_LARGE if context["grid"].is_large else TWO_LINES
    language = get_language()
    return mark_safe("".join(_card(entry, may_move, least, language) for entry in column.entries))


def _card(entry: Entry, may_move: bool, least: int, language: str | None) -> str:
    before, behind = _address()
    css, icon, words = _dress(entry.look, language)
    short = entry.length < least
    exam = escape(entry.exam)
    if entry.patient is not None:
        told = escape(f"{entry.times} · {entry.full_name} · {entry.exam} · {words}")
        said = escape(f"{entry.name} · {entry.exam} · {entry.times} · {entry.full_name} · {words}")
        shown = f"<b>{escape(entry.name)}</b>{' · ' if short else '<br>'}<span>{exam}</span>"
    else:
        told = escape(f"{entry.times} · {_kept_words(entry)}")
        said = escape(f"{_kept_words(entry)} · {entry.times}")
        shown = f"<b>{escape(_kept_words(entry))}</b>"
    lanes = f' data-lane="{entry.lane}" data-lanes="{entry.lanes}"' if entry.lanes > 1 else ""
    gone = " data-gone" if entry.state == "noshow" else ""
    moves = f' data-m="{entry.modality or ""}"' if may_move and entry.is_movable else ""
    flags = (_flag("copy") if entry.is_overbooked else "") + (_flag("bolt") if entry.priority == "stat" else "")
    return (
        f'<a class="dg-e {css}{" short" if short else ""}" href="{before}{entry.uuid}{behind}" data-s="{entry.start}"'
        f' data-n="{entry.length}"{lanes}{moves}{gone} aria-label="{said}" title="{told}">{icon} {shown}'
        f"{f'<span class=r>{flags}</span>' if flags else ''}</a>"
    )


def _kept_words(entry: Entry) -> str:
    if entry.kind == ReservationKind.HOLD:
        return _("hold: %(who)s") % {"who": entry.holder}
    return _("offered to the waiting list")


@register.simple_tag
def day_hatches(column: Column) -> SafeString:
    """Time without appointments: closed, kept for emergencies, blocked (which can be opened again)."""
    return mark_safe("".join(_hatch(row) for row in column.closed))


def _hatch(row: Closed) -> str:
    before, behind = _address()
    place = f'data-s="{row.start}" data-n="{row.length}"'
    if row.kind == "blocked":
        return format_html(
            '<a class="dg-x" href="{}" {}>{}</a>', f"{before}{row.uuid}{behind}", mark_safe(place), row.reason
        )
    if row.kind == "shut":
        return f'<div class="dg-x" {place}><span class="vh">{escape(_("Closed"))}</span></div>'
    if row.kind == "kept":
        words = _("Kept for emergencies: %(purpose)s") % {"purpose": row.reason}
        return format_html('<div class="dg-x kept" {} data-kept>{}</div>', mark_safe(place), words)
    words = _("Closed: %(reason)s") % {"reason": row.reason}
    return format_html('<div class="dg-x" {}>{}</div>', mark_safe(place), words)


# --- the list beside the grid


@cache
def _priority(code: str, language: str | None) -> SafeString:
    return priority(code)


@register.simple_tag(takes_context=True)
def todo_cards(context: Context) -> SafeString:
    """The exams that wait for a time, most pressing first; each can be dragged, and leads to the booking form."""
    chosen = context.get("procedure")
    query = context["request"].GET.copy()
    query["book"] = str(NOWHERE)
    before, _nowhere, behind = f"?{query.urlencode()}#booking".partition(str(NOWHERE))
    words = {"find": _("Find a time"), "for": _("Find a time for %(who)s")}
    may_book, on = bool(context["may_book"]), chosen.uuid if chosen is not None else None
    return mark_safe(
        "".join(
            _todo(row, may_book, row.procedure == on, escape(f"{before}{row.procedure}{behind}"), words)
            for row in context["waiting"]
        )
    )


def _todo(row: Todo, may_book: bool, is_on: bool, target: str, words: dict[str, str]) -> str:
    name = escape(row.full_name)
    about = [patient_line(row), row.modality, text.duration(row.minutes) if row.minutes else ""]
    moves = (
        f' data-todo="{row.procedure}" data-m="{row.modality}" data-minutes="{row.minutes or DEFAULT_MINUTES}"'
        f' data-what="{name}"'
        if may_book
        else ""
    )
    return (
        f'<li class="sc-todo{" on" if is_on else ""}" id="todo-{row.procedure}"{moves}><span class="row-x">'
        f'<b class="trunc">{name}</b><span class="ms-a"></span>{_priority(row.priority, get_language())}</span>'
        f'<span class="d-block">{escape(row.exam)}</span>'
        f'<span class="small muted d-block">{escape(" · ".join(filter(None, about)))}</span>'
        f'<span class="row-x sc-foot">{_due(row)}{_missed(row)}<span class="ms-a"></span>'
        f'<a class="btn btn-sm" href="{target}"{" aria-current=true" if is_on else ""}'
        f' aria-label="{escape(words["for"] % {"who": row.full_name})}">{escape(words["find"])}</a>'
        "</span></li>"
    )


def _due(row: Todo) -> str:
    if row.due_by is None:
        return ""
    days = (row.due_by - timezone.localdate()).days
    css = "red b" if days < 0 else "amber b" if days == 0 else "muted"
    day = formats.date_format(row.due_by, "j M").replace(" ", text.NBSP)
    words = _("due today") if days == 0 else (_("was due %(day)s") if days < 0 else _("due %(day)s")) % {"day": day}
    return f'<span class="small nowrap {css}">{_flag("calendar-time")} {escape(words)}</span>'


def _missed(row: Todo) -> str:
    if row.status != ProcedureStatus.NO_SHOW:
        return ""
    look = status_look(row.status)
    return f'<span class="sc-missed" title="{escape(str(look.text))}">{svg(look.icon, label=str(look.text))}</span>'
