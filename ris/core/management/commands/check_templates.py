"""``manage.py check_templates``: what a template may not do, found before a browser finds it.

Every template compiles; none holds a script, a style or a handler of its own (the Content-Security-Policy forbids
them); none names an address that does not exist, or one of an app that lies above its own (panels are for that).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.template import TemplateSyntaxError
from django.template.loader import get_template
from django.urls import URLPattern, URLResolver, get_resolver

#: From the ground up. A template folder that is not listed belongs to ris.core, which everybody may use.
LEVELS = {"core": 0, "tenants": 1, "audit": 2, "events": 2, "accounts": 3, "notifications": 4}
LEVELS |= {"orders": 5, "worklist": 6, "reporting": 7, "dose": 7, "peerreview": 8, "interop": 9}

FORBIDDEN = {
    "a script of its own": re.compile(r"<script(?![^>]*\bsrc=)(?![^>]*type=[\"']application/json)[^>]*>", re.I),
    "a style sheet of its own": re.compile(r"<style[\s>]", re.I),
    "a style attribute": re.compile(r"<[a-z][^<>]*\sstyle\s*=", re.I),
    "an event handler attribute": re.compile(r"<[a-z][^<>]*\son[a-z]+\s*=", re.I),
    "a javascript: address": re.compile(r"[\"']\s*javascript:", re.I),
}
URL_TAG = re.compile(r"{%\s*url\s+[\"']([^\"']+)[\"']")
TAGS_AND_COMMENTS = re.compile(r"{%.*?%}|{#.*?#}", re.S)


def owner_of(pattern: URLPattern) -> str:
    """The app label of the view behind an address."""
    view: Any = pattern.callback
    view = getattr(view, "view_class", None) or getattr(view, "cls", None) or view
    parts = view.__module__.split(".")
    return parts[1] if parts[0] == "ris" and len(parts) > 1 else parts[0]


def named_patterns(patterns: Iterable[Any], namespace: str = "") -> Iterator[tuple[str, str]]:
    """(full name, app label) of every named address."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from named_patterns(pattern.url_patterns, inner)
        elif pattern.name:
            yield namespace + pattern.name, owner_of(pattern)


class Command(BaseCommand):
    help = "Check every template: it compiles, keeps the Content-Security-Policy, and names only what lies below it."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        folders = [Path(folder) for engine in settings.TEMPLATES for folder in engine["DIRS"]]
        owners: dict[str, set[str]] = {}
        for name, owner in named_patterns(get_resolver().url_patterns):
            owners.setdefault(name, set()).add(owner)
        problems, count = [], 0
        for folder in folders:
            for path in sorted(folder.rglob("*.html")):
                count += 1
                name = path.relative_to(folder).as_posix()
                problems += [f"{name}: {problem}" for problem in self.problems_of(name, path.read_text(), owners)]
        if problems:
            raise CommandError("\n".join(problems))
        self.stdout.write(f"{count} templates are as they should be.")

    @staticmethod
    def problems_of(name: str, text: str, owners: dict[str, set[str]]) -> Iterator[str]:
        try:
            get_template(name)
        except TemplateSyntaxError as wrong:
            yield f"does not compile: {wrong}"
        markup = TAGS_AND_COMMENTS.sub("", text)
        for what, pattern in FORBIDDEN.items():
            if found := pattern.search(markup):
                yield f"has {what}: {found.group(0)[:80]!r}"
        level = LEVELS.get(name.split("/")[0], 0)
        for address in URL_TAG.findall(text):
            if address not in owners:
                if not address.startswith("admin:"):
                    yield f"names {address!r}, which is no address"
            elif min(LEVELS.get(owner, 0) for owner in owners[address]) > max(level, LEVELS["accounts"]):
                yield f"names {address!r} of {', '.join(sorted(owners[address]))}, which lies above it"
