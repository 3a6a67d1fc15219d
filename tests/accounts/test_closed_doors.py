"""Without credentials nothing opens but sign-in, documentation, health, FHIR's metadata and share links."""

import re

import pytest
from django.test import Client
from django.urls import get_resolver

from tests.accounts.test_matrix import routes, stand_in

OPEN = re.compile(
    r"^/(sign-in/|sign-out/|static/|health/|metrics|api/schema/|api/docs/|api/redoc/|admin/jsi18n/|admin/log(in|out)/|"
    r"theme/|language/|shortcuts/|menu/|ping/|styleguide/|fhir/r[45]/metadata|fhir/r[45]/\.well-known/|fhir/auth/token|"
    r"\.well-known/|share/|api/v1/auth/token)"
)


def addresses():
    """Of the administration, which one wrapper guards, only a few."""
    found = set()
    for path, _entry in routes(get_resolver("ris.urls").url_patterns):
        concrete = re.sub(r"\(\?P<\w+>([^)]*)\)|<(?:(\w+):)?\w+>", stand_in, path)
        concrete = "/" + re.sub(r"[\^$]|\\[AZz]", "", concrete).replace("/?", "").replace("\\.", ".")
        if concrete.startswith("/admin/") and not concrete.startswith(
            ("/admin/accounts/user/", "/admin/autocomplete/")
        ):
            continue
        if not OPEN.match(concrete) and "(" not in concrete and "format" not in path:
            found.add(concrete)
    return sorted(found)


@pytest.mark.parametrize("method", ["get", "post"])
def test_every_other_address_asks_who_is_there(alpha, method):
    client = Client(HTTP_HOST="alpha.test")
    wrong = {}
    for address in addresses():
        answer = getattr(client, method)(address)
        to_sign_in = answer.status_code == 302 and answer["Location"].startswith(("/sign-in/", "/admin/login/"))
        if not to_sign_in and answer.status_code not in (401, 404, 405):
            wrong[address] = (answer.status_code, answer.headers.get("Location", ""))
    assert wrong == {}
    assert len(addresses()) > 100
