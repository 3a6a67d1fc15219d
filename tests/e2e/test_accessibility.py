"""axe-core over the main pages, in a real browser: nothing serious, nothing critical.

``vendor/axe.min.js`` is Deque's, under the Mozilla Public License 2.0 (its licence lies beside it), and for tests only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reporting import services
from reporting.services.sharing import share_report, url_of
from ris.core.actor import Actor
from tests.e2e.browser import House, chromium, needs_chromium
from tests.factories.accounts import UserFactory
from tests.factories.exam import booked_exam, ordered_exam, performed_exam
from tests.factories.reporting import drafted, make_patient, make_procedure, make_referrer, signed

pytestmark = needs_chromium
AXE = Path(__file__).with_name("vendor") / "axe.min.js"
ASK = """() => axe.run(document, {resultTypes: ['violations']}).then(found => found.violations
  .filter(row => row.impact === 'serious' || row.impact === 'critical')
  .map(row => row.id + ': ' + row.nodes.slice(0, 4).map(node => node.target.join(' ')).join(' | ')))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def house(browser: Any, facility_server: Any) -> Iterator[House]:
    opened = House(browser, facility_server.alpha)
    yield opened
    opened.close()
    assert opened.complaints == []


def pages() -> dict[str, list[str]]:
    """By who looks at them: an exam in each state, a draft, a signed report, a critical result."""
    for name, role in (
        ("clerk", "clerk"),
        ("tech", "technologist"),
        ("reader", "radiologist"),
        ("boss", "it_admin"),
    ):
        UserFactory(username=name, given_name="Asha", family_name=name.capitalize(), roles=(role,))
    from ris.accounts.models import User

    services.ensure_templates()
    reader = Actor("web", user=User.objects.get(username="reader"))
    referrer = make_referrer()
    ordered = ordered_exam()
    for hour, make in enumerate((performed_exam, booked_exam)):
        make(family_name=f"Family{hour}", hour=hour)
    patient = make_patient("WANJIKU")
    done = signed(make_procedure(patient=patient, requester=referrer.practitioner), actor=reader)
    make_procedure(patient=make_patient("HASSAN"), priority="stat", images=3)
    draft = drafted(make_procedure(patient=patient), actor=reader)
    alert = services.raise_critical_result(
        draft.first_procedure, report=draft, category=1, finding="Pneumothorax", actor=reader
    )
    link = share_report(done, recipient="The patient", actor=Actor("web", user=User.objects.get(username="clerk"))).link
    return {
        "clerk": [
            "/",
            "/patients/",
            f"/patients/{ordered.patient.uuid}/",
            "/patients/register/",
            "/orders/",
            f"/orders/new/?patient={ordered.patient.uuid}",
            "/schedule/",
        ],
        "tech": ["/console/", "/exceptions/"],
        "reader": [
            "/",
            "/reading/",
            f"/reports/{draft.uuid}/",
            f"/reports/{done.uuid}/",
            f"/reports/{done.uuid}/versions/",
            "/critical/",
            f"/critical/{alert.uuid}/",
            "/reading/templates/",
            "/reports/search/",
            "/follow-ups/",
            "/teaching/",
            "/reports/sign/",
            "/analytics/",
            "/dose/",
        ],
        "boss": ["/integrations/", "/delivery/rules/", "/reports/checks/"],
        referrer.actor.user.username: ["/", "/results/"],
        "": ["/sign-in/", url_of(link)],
    }


def test_no_page_has_a_serious_fault(house: House) -> None:
    axe, wrong = AXE.read_text(), {}
    for who, addresses in pages().items():
        page = house.stranger() if not who else None
        for address in addresses:
            if page is None or who:
                page = house.enter(who, address)
            else:
                page.goto(address)
            page.evaluate(axe)
            found = page.evaluate(ASK)
            if found or page.locator("h1").count() == 0:
                wrong[f"{who} {address}"] = found or ["no heading"]
    assert not wrong, "\n".join(f"{where}: {'; '.join(found)}" for where, found in wrong.items())
