"""What an upper app puts onto a page of a lower one: entries of the menu and panels in named slots.

Lower apps know no URL and no template of upper ones. They write ``{% panel "patient.dose" patient %}``; whoever stands
above registered a panel for that slot in its ``AppConfig.ready()``. The same registry holds the menu and the bell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.cache import cache
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

Count = Callable[[HttpRequest], int | None]
Selector = Callable[..., Mapping[str, Any] | None]

#: The numbers of the menu are as old as this at most; what the reader does anew is counted at once.
COUNTS_SECONDS = 10
SECTIONS = ("home", "work", "quality", "system")


@dataclass(frozen=True)
class NavItem:
    """An entry of the menu. It is shown when its URL resolves and the user holds the permission.

    ``label`` is a lazy translation. ``permission`` is one code, several (any of them suffices) or None for everybody
    signed in. ``count(request)`` is the number beside it; ``hot`` paints that number red (work that hurts when late).
    ``mobile`` puts it into the tab bar of a phone, where there is room for four. ``order`` sorts inside the section.
    """

    key: str
    label: Any
    url_name: str
    icon: str
    section: str = "work"
    permission: str | tuple[str, ...] | None = None
    count: Count | None = None
    hot: bool = False
    mobile: bool = False
    order: int = 100


@dataclass(frozen=True)
class Panel:
    """A part of somebody else's page.

    ``selector(obj, request=request)`` answers the template's context, or None when there is nothing to show.
    """

    slot: str
    selector: Selector
    template: str
    permission: str | tuple[str, ...] | None = None
    order: int = 100
    key: str = field(default="")


_nav: dict[str, NavItem] = {}
_panels: dict[tuple[str, str], Panel] = {}
_bells: dict[str, Count] = {}


def register_nav(*items: NavItem) -> None:
    for item in items:
        if item.section not in SECTIONS:
            raise ValueError(f"menu entry {item.key}: no section {item.section}")
        if _nav.get(item.key, item) != item:
            raise ValueError(f"menu entry {item.key} is registered twice and differently")
        _nav[item.key] = item


def register_panel(*panels: Panel) -> None:
    for panel in panels:
        _panels[(panel.slot, panel.key or panel.template)] = panel


def register_bell(name: str, count: Count) -> None:
    """Add to the number on the bell: ``count(request)`` of things the user has not seen."""
    _bells[name] = count


def nav_items() -> list[NavItem]:
    return sorted(_nav.values(), key=lambda item: (SECTIONS.index(item.section), item.order, item.key))


def panels_of(slot: str) -> list[Panel]:
    return sorted((p for p in _panels.values() if p.slot == slot), key=lambda p: (p.order, p.template))


def bell_count(request: HttpRequest) -> int:
    return sum(count(request) or 0 for count in _bells.values())


def menu_counts(request: HttpRequest, items: Iterable[NavItem]) -> dict[str, int | None]:
    """{key: number} of the entries that count something: asked every COUNTS_SECONDS, as it costs every page."""
    counts = {item.key: item.count for item in items if item.count is not None}
    name = _counts_key(request)
    known: dict[str, int | None] = cache.get(name) or {}
    missing = {key: count(request) for key, count in counts.items() if key not in known}
    if missing:
        known = {**known, **missing}
        cache.set(name, known, COUNTS_SECONDS)
    return {key: known[key] for key in counts}


def forget_menu_counts(request: HttpRequest) -> None:
    """Who has just done something reads what became of it."""
    cache.delete(_counts_key(request))


def _counts_key(request: HttpRequest) -> str:
    return f"menu-counts:{getattr(request.user, 'pk', None)}"


def allowed(user: Any, permission: str | Iterable[str] | None) -> bool:
    """Whether a signed-in user holds the permission, or one of several."""
    if user is None or not getattr(user, "is_authenticated", False):
        return False
    if permission is None:
        return True
    codes = (permission,) if isinstance(permission, str) else tuple(permission)
    return any(user.may(code) for code in codes)


def url_or_none(name: str, *args: Any, **kwargs: Any) -> str | None:
    """The address, or None when no app of this installation serves it."""
    try:
        return reverse(name, args=args or None, kwargs=kwargs or None)
    except NoReverseMatch:
        return None
