"""Context processor ``shell``: what the frame of every page needs, all of it lazy, so that fragments cost nothing."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.crypto import salted_hmac
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from ris.core import panels, permissions

THEME_COOKIE = "picha_theme"
NAV_COOKIE = "picha_nav"
THEMES = ("auto", "light", "dark")
TAB_BAR_PLACES = 4
IDLE_MINUTES = 15
ROLE_LABELS = {
    permissions.RADIOLOGIST: gettext_lazy("Radiologist"),
    permissions.RESIDENT: gettext_lazy("Resident"),
    permissions.TECHNOLOGIST: gettext_lazy("Technologist"),
    permissions.REFERRER: gettext_lazy("Referrer"),
    permissions.CLERK: gettext_lazy("Front desk"),
    permissions.QA_LEAD: gettext_lazy("Quality"),
    permissions.PHYSICIST: gettext_lazy("Physicist"),
    permissions.IT_ADMIN: gettext_lazy("IT"),
}


class Shell:
    """Facility, person, menu, theme and language of one request."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    @cached_property
    def user(self) -> Any:
        user = getattr(self._request, "user", None)
        return user if user is not None and user.is_authenticated else None

    @cached_property
    def theme(self) -> str:
        theme = self._request.COOKIES.get(THEME_COOKIE, "auto")
        return theme if theme in THEMES else "auto"

    @cached_property
    def nav_mode(self) -> str:
        mode = self._request.COOKIES.get(NAV_COOKIE, "")
        return mode if mode in ("open", "icons") else ""

    @property
    def csrf_cookie(self) -> str:
        return settings.CSRF_COOKIE_NAME

    @cached_property
    def facility(self) -> str:
        return str(getattr(getattr(self._request, "tenant", None), "name", "") or "")

    @cached_property
    def language(self) -> str:
        return get_language() or settings.LANGUAGE_CODE

    @cached_property
    def languages(self) -> list[tuple[str, str]]:
        names = {"en": "English", "sw": "Kiswahili"}
        return [(code, names.get(code, str(name))) for code, name in settings.LANGUAGES]

    @cached_property
    def user_name(self) -> str:
        user = self.user
        if user is None:
            return ""
        return str(getattr(user, "display_name", "") or user.get_username())

    @cached_property
    def initials(self) -> str:
        return str(getattr(self.user, "initials", "") or self.user_name[:2].upper())

    @cached_property
    def role(self) -> str:
        """The user's roles in words, the built-in ones first."""
        names = getattr(self.user, "role_names", frozenset())
        order = [*ROLE_LABELS, *sorted(set(names) - ROLE_LABELS.keys())]
        return ", ".join(str(ROLE_LABELS.get(name, name.replace("-", " "))) for name in order if name in names)

    @cached_property
    def idle_minutes(self) -> int:
        """Minutes without input until the page locks (``request.idle_minutes``, the facility's choice); 0: never."""
        if self.user is None:
            return 0
        return int(getattr(self._request, "idle_minutes", IDLE_MINUTES))

    @cached_property
    def has_password(self) -> bool:
        """Whether a password unlocks the screen; who comes by the hospital account signs in there again."""
        checker = getattr(self.user, "has_usable_password", None)
        return checker() if checker else True

    @cached_property
    def owner_key(self) -> str:
        """Opaque, one per person and facility: drafts of another person are dropped by the browser."""
        return draft_key(self._request, "owner") if self.user else ""

    @cached_property
    def nav(self) -> list[dict[str, Any]]:
        """The menu as this user sees it: sections with their items."""
        if self.user is None:
            return []
        titles = {"home": "", "work": _("Work"), "quality": _("Quality"), "system": _("System")}
        sections: list[dict[str, Any]] = []
        shown = [item for item in panels.nav_items() if panels.allowed(self.user, item.permission)]
        reachable = [(item, url) for item in shown if (url := panels.url_or_none(item.url_name)) is not None]
        counts = panels.menu_counts(self._request, [item for item, _url in reachable])
        for item, url in reachable:
            if not sections or sections[-1]["key"] != item.section:
                sections.append({"key": item.section, "title": titles[item.section], "items": []})
            sections[-1]["items"].append({"item": item, "url": url, "count": counts.get(item.key)})
        self._mark_current(sections)
        return sections

    def _mark_current(self, sections: list[dict[str, Any]]) -> None:
        """The entry whose address is the longest beginning of this one; a page's ``nav`` variable overrules it."""
        entries = [entry for section in sections for entry in section["items"]]
        path = self._request.path
        best = max((e for e in entries if path.startswith(e["url"])), key=lambda e: len(e["url"]), default=None)
        if best is not None and (best["url"] != "/" or path == "/"):
            best["current"] = True

    @cached_property
    def tab_bar(self) -> list[dict[str, Any]]:
        entries = [entry for section in self.nav for entry in section["items"]]
        return [entry for entry in entries if entry["item"].mobile][:TAB_BAR_PLACES]

    @cached_property
    def bell(self) -> int:
        return panels.bell_count(self._request) if self.user else 0

    @cached_property
    def correlation_id(self) -> str:
        return correlation_id(self._request)

    @property
    def words(self) -> dict[str, str]:
        """The sentences that app.js says by itself."""
        return {
            "left": _("{t} left"),
            "over": _("Over {t}"),
            "h": _("h"),
            "min": _("min"),
            "d": _("d"),
            "refreshed": _("Refreshed {t}"),
            "offline": _("No connection since {t}. What you type stays in this browser."),
            "online": _("Connected again."),
            "new": _("{n} new. The list has not moved."),
            "newStat": _("{n} new STAT. The list has not moved."),
            "show": _("Show them"),
            "busy": _("Waiting for the server"),
            "failed": _("The server did not answer. Nothing was changed; try again."),
            "restored": _("Your text of {t} is back. It was never sent."),
            "discard": _("Discard it"),
            "close": _("Close"),
            "undo": _("Undo"),
            "cancel": _("Cancel"),
            "go": _("Yes, go on"),
            "wrong": _("That did not match. Try again."),
            "slaSoon": _("{what}: {t} left"),
            "slaOver": _("{what}: over time"),
        }


def shell(request: HttpRequest) -> dict[str, Any]:
    return {"shell": Shell(request)}


def correlation_id(request: HttpRequest) -> str:
    """The request's id as the logs know it."""
    return str(getattr(request, "correlation_id", "") or request.headers.get("X-Request-ID", ""))[:64]


def draft_key(request: HttpRequest, *parts: Any) -> str:
    """An opaque key for the browser's draft keeper: facility, person and form, not readable and not guessable."""
    schema = getattr(getattr(request, "tenant", None), "schema_name", "")
    who = getattr(getattr(request, "user", None), "pk", "")
    return salted_hmac(f"{schema}:draft", ":".join(map(str, (who, *parts)))).hexdigest()[:24]
