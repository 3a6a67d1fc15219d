"""The words of a notification, in its reader's language."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.db import connection
from django.template import TemplateDoesNotExist
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _

from ris.notifications.models import Notification


@dataclass(frozen=True)
class Words:
    title: str
    body: str


def template_of(key: str) -> str:
    """``orders.cancelled`` -> ``orders/notifications/cancelled.txt``"""
    app, _dot, name = key.partition(".")
    return f"{app}/notifications/{name}.txt"


def words_of(row: Notification, *, language: str = "") -> Words:
    """Title and body; general words where an app brings none."""
    with translation.override(language or row.language or None):
        try:
            text = render_to_string(template_of(row.template), {**row.context, "url": row.url})
        except TemplateDoesNotExist:
            return Words(_("There is something new for you."), "")
    title, _newline, body = text.strip().partition("\n")
    return Words(title.strip()[:200], body.strip())


def short_words_of(row: Notification) -> str:
    """What an SMS says: the whole of ``<name>.sms.txt`` where an app brings one, else the title."""
    name = template_of(row.template).removesuffix(".txt") + ".sms.txt"
    with translation.override(row.language or None):
        try:
            return " ".join(render_to_string(name, {**row.context, "url": row.url and absolute(row.url)}).split())
        except TemplateDoesNotExist:
            return words_of(row).title


def absolute(url: str) -> str:
    """The address of a page of ours for somebody outside; by the facility's first host name."""
    tenant = connection.tenant
    domain = tenant.get_primary_domain() if hasattr(tenant, "get_primary_domain") else None
    if domain is None or "://" in url:
        return url
    scheme = "https" if settings.SESSION_COOKIE_SECURE else "http"
    port = "" if settings.SESSION_COOKIE_SECURE else f":{settings.RIS_HTTP_PORT}"
    return f"{scheme}://{domain.domain}{port}{url}"
