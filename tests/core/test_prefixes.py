"""Addresses found by their first word are the same as those found one after the other."""

import pytest
from django.http import HttpResponse
from django.urls import Resolver404, URLResolver, include, path, re_path
from django.urls.resolvers import RoutePattern

from ris.core.web.prefixes import PrefixResolver, prefixed


def view(_request, **_kwargs):
    return HttpResponse()


ENTRIES = [
    path("orders/", view, name="orders"),
    path("orders/<int:number>/", view, {"more": 1}, name="order"),
    path("<slug:word>/late/", view, name="before"),
    re_path(r"^order\-sets/(?P<word>\w+)/$", view, name="set"),
    path("orders/late/", view, name="never"),
    path("reports/", include(([path("", view, name="list"), path("<int:number>/", view, name="one")], "reports"))),
    path("", view, name="home"),
    re_path(r"^(?:a|b)/$", view, name="either"),
    re_path(r"^(?P<rest>\d+)$", view, name="bare"),
]
ADDRESSES = [
    "orders/", "orders/7/", "orders/late/", "orders/x/y/", "order-sets/ct/", "order-sets/", "reports/", "reports/3/",
    "reports/x/", "a/", "b/", "c/", "12", "orders", "/orders/", "reports",
]  # fmt: skip


def told(resolver, address):
    try:
        match = resolver.resolve(address)
    except Resolver404:
        return None
    return match.view_name, match.kwargs, match.route, match.namespaces


@pytest.mark.parametrize("prefix", ["", "api/v1/"])
def test_each_address_is_answered_by_the_same_entry(prefix):
    plain = path(prefix, include((ENTRIES, "api")))
    quick = prefixed(plain)
    assert isinstance(quick, PrefixResolver) and isinstance(plain, URLResolver)
    answers = {address: told(quick, prefix + address) for address in ["", *ADDRESSES]}
    assert answers == {address: told(plain, prefix + address) for address in ["", *ADDRESSES]}
    assert answers["orders/late/"][0] == "api:before" and answers["orders/x/y/"] is None
    assert [str(entry.pattern) for entry in quick.url_patterns] == [str(entry.pattern) for entry in plain.url_patterns]


def test_only_what_may_answer_is_asked(monkeypatch):
    quick, asked = prefixed(path("api/", include(ENTRIES))), []
    match = RoutePattern.match
    monkeypatch.setattr(RoutePattern, "match", lambda self, text: asked.append(str(self)) or match(self, text))
    assert told(quick, "api/reports/3/")[1] == {"number": 3}
    assert "orders/" not in asked and "reports/" in asked
