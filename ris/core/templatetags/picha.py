"""``{% load picha %}``: the components of docs/ui.md. Colour is never the only sign: each says it in words as well."""

from __future__ import annotations

import functools
from decimal import Decimal
from typing import Any

from django import template
from django.forms import BoundField, RadioSelect
from django.http import HttpRequest
from django.template.context import Context
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from ris.core import panels, text, vocabulary
from ris.core.context import draft_key as make_draft_key

register = template.Library()

register.filter("person_name", text.person_name)
register.filter("thousands", text.thousands)
register.filter("duration", text.duration)
register.filter("age", text.age)
register.filter("day", text.day)
register.filter("clock", text.clock)
register.filter("stamp", text.stamp)
register.filter("sex", text.sex)
register.filter("masked", text.masked)
register.filter("percent", text.percent)

SOON_SHARE = 0.3


def svg(name: str, size: str = "", label: str = "") -> SafeString:
    if label:
        css, href = f"i i-{size}" if size else "i", f"{static('icons.svg')}#{name}"
        return format_html('<svg class="{}" role="img" aria-label="{}"><use href="{}"/></svg>', css, label, href)
    return _silent_svg(name, size)


@functools.lru_cache(maxsize=1024)
def _silent_svg(name: str, size: str) -> SafeString:
    """A list of 50 rows shows hundreds: each is made once."""
    css, href = f"i i-{size}" if size else "i", f"{static('icons.svg')}#{name}"
    return format_html('<svg class="{}" aria-hidden="true"><use href="{}"/></svg>', css, href)


def chip_html(look: vocabulary.Look, words: Any = "", *, title: str = "", css: str = "") -> SafeString:
    return format_html(
        '<span class="{}"{}>{}{}</span>',
        " ".join(filter(None, ("chip", f"t-{look.tone}", look.edge, css))),
        format_html(' title="{}"', title) if title else "",
        svg(look.icon),
        words or look.text,
    )


@register.simple_tag
def icon(name: str, size: str = "", label: str = "") -> SafeString:
    """``{% icon "eye" %}``, ``{% icon "eye" "s" %}``, ``{% icon "flask" label=_("Allergy") %}``."""
    return svg(name, size, label)


@register.simple_tag
def chip(tone: str, icon: str, words: Any, edge: str = "", title: str = "") -> SafeString:
    """A fact that is no status: ``{% chip "red" "flask" "Allergy: iodine" %}``; edge "o", "dash" or "solid"."""
    return chip_html(vocabulary.Look(tone, edge, icon, words), title=title)


@register.simple_tag
def flag(tone: str, icon: str, words: Any) -> SafeString:
    """An icon in a list's Flags column; the words are its name and tooltip."""
    return format_html(
        '<span class="flag t-{}" role="img" title="{}" aria-label="{}">{}</span>', tone, words, words, svg(icon)
    )


@register.simple_tag
def status(obj: Any, words: Any = "", lg: bool = False) -> SafeString:
    """The chip of a status code or of an object with ``status``; the tooltip says since when and by whom."""
    code = obj if isinstance(obj, str) else getattr(obj, "status", obj)
    look = vocabulary.status_look(code)
    if not words and vocabulary.normal(code) not in vocabulary.STATUS and hasattr(obj, "get_status_display"):
        words = obj.get_status_display()
    since = getattr(obj, "status_changed_at", None)
    by = getattr(obj, "status_changed_by", None)
    title = ""
    if since:
        title = f"{look.text} · {text.stamp(since)}" + (f" · {by}" if by else "")
    return chip_html(look, words, title=title, css="lg" if lg else "")


@register.simple_tag
def verdict(code: Any, words: Any = "", lg: bool = False) -> SafeString:
    """ready, review, blocked: the answer of a check."""
    return chip_html(vocabulary.verdict_look(code), words, css="lg" if lg else "")


@register.simple_tag
def category(number: Any, words: Any = "") -> SafeString:
    """Urgency of a critical result: 1 minutes, 2 hours, 3 days."""
    return chip_html(vocabulary.CATEGORY.get(str(number), vocabulary.CATEGORY["3"]), words)


@register.simple_tag
def priority(code: Any) -> SafeString:
    __, look = vocabulary.priority_look(code)
    return format_html('<span class="prio {}">{}{}</span>', look.tone, svg(look.icon), look.text)


@register.simple_tag
def sla(minutes: float | None, total: float | None, what: Any = "") -> SafeString:
    """Time left of ``total`` minutes: icon, words, bar. Counted down by app.js; ``what`` is spoken at thresholds."""
    if minutes is None or not total:
        return format_html('<span class="sla"><span class="dim">{}</span></span>', "–")
    state = "over" if minutes < 0 else "soon" if minutes <= total * SOON_SHARE else "ok"
    symbol = {"ok": "clock", "soon": "hourglass-high", "over": "alarm"}[state]
    words = _("Over {t}") if state == "over" else _("{t} left")
    used = max(0, min(100, round(100 * (1 - minutes / total))))
    return format_html(
        '<span class="sla {}" data-left="{}" data-total="{}"{}>{}<span>{}</span>'
        '<progress max="100" value="{}" aria-hidden="true"></progress></span>',
        state,
        round(minutes),
        round(total),
        format_html(' data-what="{}"', what) if what else "",
        svg(symbol),
        words.format(t=text.duration(abs(minutes))),
        used,
    )


@register.simple_tag
def ago(moment: Any, plain: bool = False) -> SafeString | str:
    """Absolute and relative: "10:42 · 18 min", "2 Jun 2026 · 5 months"; ``plain=True`` without the time element."""
    if not moment:
        return "–"
    words = text.absolute_and_relative(moment)
    if plain:
        return words
    iso = moment.isoformat() if hasattr(moment, "isoformat") else ""
    return format_html('<time datetime="{}" title="{}">{}</time>', iso, text.stamp(moment), words)


@register.simple_tag
def meter(value: float, maximum: float = 100, label: Any = "", high: float | None = None) -> SafeString:
    """A bar for use or progress, amber from ``high`` on. The number itself stands beside it as text."""
    css = "hi" if high is not None and value >= high else ""
    return format_html(
        '<progress class="{}" max="{}" value="{}" aria-label="{}"></progress>', css, maximum, value, label or _("Share")
    )


@register.inclusion_tag("components/patient_banner.html")
def patient_banner(patient: Any, url: str = "", extra: Any = None) -> dict[str, Any]:
    """The one ink banner: name, sex, birth date with age, identifier with issuer, alerts (docs/ui.md)."""
    return text.banner_of(patient) | {"url": url, "extra": extra or []}


@register.simple_tag
def patient_line(patient: Any) -> str:
    """The second line of a list: "F · 36 y · ZRH-0048213"."""
    return text.line_of(patient)


@register.simple_block_tag(takes_context=True)
def alert(
    context: Context,
    content: str,
    tone: str,
    title: Any,
    asked: Any = "",
    found: Any = "",
    todo: Any = "",
    icon: str = "",
    live: bool = False,
) -> str:
    """A fact above the work. Refusals carry the three sentences; the block holds text and buttons.

    ``live=True`` makes a screen reader say it when it appears without a page load.
    """
    return render_to_string(
        "components/alert.html",
        {
            "tone": tone,
            "title": title,
            "asked": asked,
            "found": found,
            "todo": todo,
            "icon": icon or vocabulary.ALERT_ICONS.get(tone, "info-circle"),
            "live": live,
            "content": mark_safe(content.strip()),  # the block's own, already escaped output
        },
    )


@register.simple_tag
def refusal(error: Any) -> str:
    """The alert of a DomainError: what you asked, what we found, what to do."""
    context = {
        "tone": "red",
        "title": str(getattr(error, "detail", error)),
        "asked": getattr(error, "asked", ""),
        "found": getattr(error, "found", ""),
        "todo": getattr(error, "todo", ""),
        "icon": "hand-stop",
        "live": True,
    }
    return render_to_string("components/alert.html", context)


@register.simple_block_tag
def empty(content: str, title: Any, words: Any = "", icon: str = "list-check") -> SafeString:
    """What is empty, which filter, and one button inside the block."""
    return format_html(
        '<div class="pi-empty">{}<b>{}</b>{}{}</div>',
        svg(icon),
        title,
        format_html("<span>{}</span>", words) if words else "",
        mark_safe(content.strip()),  # the block's own, already escaped output
    )


@register.simple_tag
def kbd(key: str) -> SafeString:
    """The key that does it: ``{% kbd "Ctrl S" %}``."""
    return format_html('<span class="kbd" aria-hidden="true">{}</span>', key)


@register.simple_tag
def refreshed() -> SafeString:
    """ "Refreshed 10:42:12"; app.js moves the time on after each poll."""
    now = timezone.localtime()
    return format_html(
        '<span class="pi-fresh" data-fresh>{}<span>{}</span></span>',
        svg("circle-check", "s"),
        _("Refreshed {t}").format(t=f"{now:%H:%M:%S}"),
    )


@register.simple_tag(takes_context=True)
def panel(context: Context, slot: str, obj: Any = None) -> SafeString:
    """What upper apps registered for this slot, in their order, as far as the user may see it."""
    request: HttpRequest = context["request"]
    parts = []
    for entry in panels.panels_of(slot):
        if not panels.allowed(getattr(request, "user", None), entry.permission):
            continue
        data = entry.selector(obj, request=request)
        if data is not None:
            parts.append((render_to_string(entry.template, {"object": obj, **data}, request=request),))
    return format_html_join("\n", "{}", ((mark_safe(part),) for (part,) in parts))  # rendered by the template engine


@register.filter
def plain(number: Decimal | None) -> str:
    """A measured number without needless zeros, never with an exponent: ``80``, ``0.35``."""
    return "" if number is None else f"{Decimal(number).normalize():f}"


@register.filter
def unsaid(refusal: Any) -> list[str]:
    """What a refusal says of single fields, as far as its sentences do not say it already."""
    lines = []
    for field, found in refusal.errors.items():
        messages = [str(message) for message in (found if isinstance(found, (list, tuple)) else [found])]
        if new := " ".join(message for message in messages if message not in str(refusal.found)):
            lines.append(f"{str(field).replace('_', ' ').capitalize()}: {new}")
    return lines


@register.simple_tag
def maybe_url(name: str, *args: Any, **kwargs: Any) -> str:
    """The address of a page, or "" when this installation does not have it."""
    return panels.url_or_none(name, *args, **kwargs) or ""


@register.simple_tag(takes_context=True)
def may(context: Context, code: str) -> bool:
    """``{% may "reporting.sign_report" as may_sign %}``."""
    return panels.allowed(getattr(context["request"], "user", None), code)


@register.simple_tag(takes_context=True)
def draft_key(context: Context, *parts: Any) -> str:
    """Opaque key for ``<form data-draft="…">``: facility, person and form; nothing can be read from it."""
    return make_draft_key(context["request"], *parts)


# ---------------------------------------------------------------------------------------------------------------- forms


def _widget_attrs(bound: BoundField, ids: list[str]) -> dict[str, str]:
    """Classes by kind of input, and the ids of help and errors."""
    kind = getattr(bound.field.widget, "input_type", "")
    own = bound.field.widget.attrs.get("class", "")
    css = {"select": "form-select", "checkbox": "", "radio": "", "hidden": ""}.get(kind, "form-control")
    attrs = {"class": " ".join(filter(None, (css, own)))} if css or own else {}
    if ids:
        attrs["aria-describedby"] = " ".join(ids)
    return attrs


@register.simple_tag
def field(bound: BoundField, cols: int | str = "", seg: bool = False, label: Any = "") -> str:
    """A form field: label above, control, help, errors; all tied together for assistive technology.

    ``cols`` is its width of 12 in a ``.pi-form``; ``seg=True`` draws radio choices as a segmented control.
    """
    widget = bound.field.widget
    if widget.is_hidden:
        return render_to_string("components/field_hidden.html", {"field": bound})
    kind = getattr(widget, "input_type", "")
    group = isinstance(widget, RadioSelect)  # and CheckboxSelectMultiple, its subclass
    ids = []
    if bound.help_text:
        ids.append(f"{bound.auto_id}_help")
    if bound.errors:
        ids.append(f"{bound.auto_id}_error")
    attrs = _widget_attrs(bound, ids)
    return render_to_string(
        "components/field.html",
        {
            "field": bound,
            "label": label or bound.label,
            "cols": cols,
            "kind": "seg" if group and seg else "choices" if group else kind,
            "describedby": " ".join(ids),
            "control": "" if group else bound.as_widget(attrs=attrs),
            "choices": [choice for choice in bound.subwidgets if choice.data.get("value") != ""] if group else [],
        },
    )


@register.simple_tag
def form_errors(form: Any, title: Any = "") -> str:
    """The summary above a refused form, each line a link to its field; app.js puts the focus there."""
    if not form.errors:
        return ""
    lines = []
    for name, errors in form.errors.items():
        bound = form[name] if name in form.fields else None
        lines.extend(
            {
                "id": bound.id_for_label or bound.auto_id if bound else "",
                "label": bound.label if bound else "",
                "text": e,
            }
            for e in errors
        )
    return render_to_string("components/form_errors.html", {"lines": lines, "title": title, "count": len(lines)})


# ---------------------------------------------------------------------------------------------------------------- lists


def _query(context: Context, **changes: Any) -> str:
    """This page's query string with changes; None removes; paging starts again."""
    query = context["request"].GET.copy()
    for name in ("page", "cursor"):
        if name not in changes:
            query.pop(name, None)
    for name, value in changes.items():
        if value is None:
            query.pop(name, None)
        elif isinstance(value, (list, tuple)):
            query.setlist(name, [str(v) for v in value])
        else:
            query[name] = str(value)
    return "?" + query.urlencode()


@register.simple_tag(takes_context=True)
def sort_header(context: Context, key: str, label: Any, css: str = "", default: str = "") -> SafeString:
    """A column head that sorts by ``?sort=key`` / ``?sort=-key`` and says so in aria-sort."""
    current = context["request"].GET.get("sort", default)
    state = "ascending" if current == key else "descending" if current == f"-{key}" else ""
    return format_html(
        '<th scope="col"{}{}><a href="{}">{}{}</a></th>',
        format_html(' class="{}"', css) if css else "",
        format_html(' aria-sort="{}"', state) if state else "",
        _query(context, sort=f"-{key}" if state == "ascending" else key),
        label,
        format_html(" {}", svg("arrow-up" if state == "ascending" else "arrow-down")) if state else "",
    )


@register.inclusion_tag("components/seg.html", takes_context=True)
def seg(context: Context, name: str, choices: Any, label: Any = "", default: str = "") -> dict[str, Any]:
    """Two to five exclusive choices kept in the URL; more become a menu: use ``filter_menu``."""
    current = context["request"].GET.get(name, default)
    links = [(text_, _query(context, **{name: value or None}), str(value) == current) for value, text_ in choices]
    return {"label": label, "links": links}


@register.inclusion_tag("components/filter_menu.html", takes_context=True)
def filter_menu(
    context: Context, name: str, label: Any, choices: Any, multiple: bool = False, any_label: Any = ""
) -> dict[str, Any]:
    """A filter in the URL: says what it narrows to, its x removes it, works without JavaScript."""
    chosen = context["request"].GET.getlist(name)
    links = []
    for value, words in choices:
        on = str(value) in chosen
        if multiple:
            after = [c for c in chosen if c != str(value)] if on else [*chosen, str(value)]
        else:
            after = [] if on else [str(value)]
        links.append({"url": _query(context, **{name: after or None}), "words": words, "on": on})
    words = ", ".join(str(link["words"]) for link in links if link["on"])
    return {
        "label": label,
        "links": links,
        "words": words,
        "any_label": any_label or _("all"),
        "clear": _query(context, **{name: None}),
    }


@register.simple_tag(takes_context=True)
def query_with(context: Context, **changes: Any) -> str:
    """``{% query_with tab="dose" %}``: the query string of this page with that change; names never belong into it."""
    return _query(context, **changes)


@register.inclusion_tag("components/pagination.html", takes_context=True)
def pagination(context: Context, page: Any) -> dict[str, Any]:
    """Earlier and later of a Django ``Page``, or of anything with ``next`` and ``previous`` cursors."""
    if hasattr(page, "has_next"):
        later = _query(context, page=page.next_page_number()) if page.has_next() else ""
        earlier = _query(context, page=page.previous_page_number()) if page.has_previous() else ""
        words = _("{first}–{last} of {count}").format(
            first=text.thousands(page.start_index()),
            last=text.thousands(page.end_index()),
            count=text.thousands(page.paginator.count),
        )
        words = words if page.paginator.count else ""
        return {"earlier": earlier, "later": later, "words": words}
    after, before = getattr(page, "next", None), getattr(page, "previous", None)
    return {
        "later": _query(context, cursor=after) if after else "",
        "earlier": _query(context, cursor=before) if before else "",
        "words": "",
    }
