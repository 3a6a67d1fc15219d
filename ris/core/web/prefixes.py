"""Many addresses under one prefix, found by their first word instead of one after the other."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cached_property
from typing import Any

from django.urls import URLPattern, URLResolver
from django.urls.resolvers import RegexPattern, ResolverMatch, RoutePattern

#: The words an address begins with, when nothing in them is a pattern
LITERAL = re.compile(r"\^?((?:[\w-]|\\-)+)/")


def first_word(entry: URLPattern | URLResolver) -> str | None:
    """What an address must begin with to be answered by this entry; None when that is not sure."""
    pattern = entry.pattern
    if not isinstance(pattern, RegexPattern | RoutePattern):
        return None
    found = LITERAL.match(str(pattern))
    return found[1].replace("\\", "") if found else None


class PrefixResolver(URLResolver):
    """Resolves as URLResolver does, in the same order, but asks only those entries that may answer."""

    @cached_property
    def _by_word(self) -> dict[str, URLResolver]:
        entries = [(first_word(entry), entry) for entry in self.url_patterns]
        kept: dict[str, list[Any]] = defaultdict(list)
        for word in {word for word, _entry in entries}:
            kept[word or ""] = [entry for own, entry in entries if own is None or own == word]
        return {
            word: URLResolver(self.pattern, few, self.default_kwargs, self.app_name, self.namespace)
            for word, few in kept.items()
        }

    def resolve(self, path: str) -> ResolverMatch:
        match = self.pattern.match(str(path))
        if match:
            word, slash, _rest = match[0].partition("/")
            few = self._by_word.get(word if slash else "") or self._by_word.get("")
            if few is not None:
                return few.resolve(path)
        return super().resolve(path)


def prefixed(plain: Any) -> URLResolver:
    """What ``path(prefix, include(...))`` made, found by the first word behind its prefix."""
    assert isinstance(plain, URLResolver), f"{plain!r} includes nothing"
    return PrefixResolver(plain.pattern, plain.urlconf_name, plain.default_kwargs, plain.app_name, plain.namespace)
