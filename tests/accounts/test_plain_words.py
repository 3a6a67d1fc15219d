"""What a reload or a stray byte gets: words, never a blank page, never a failure of ours."""

import pytest

from tests.factories.accounts import user_with_roles

pytestmark = pytest.mark.django_db


def test_a_forms_address_asked_for_by_a_reload_leads_back(tclient, alpha):
    tclient.force_login(user_with_roles("radiologist"))
    answer = tclient.get("/reading/next/")
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]
    assert "go back to the page with the form" in answer.content.decode()


@pytest.mark.parametrize("address", ["/search/", "/reading/why/"])
def test_a_nul_is_refused_and_asks_nothing(tclient, alpha, address):
    tclient.force_login(user_with_roles("radiologist"))
    typed = "q=a%00b&accession_number=a%00b&accession=a%00b"
    answer = tclient.post(address, typed, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 400
