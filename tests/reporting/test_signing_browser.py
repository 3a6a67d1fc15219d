"""A report signed by two, corrected and signed together with others, in real browsers under the real policy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reporting import services
from reporting.models import Report, ReportDelivery
from ris.accounts.models import Practitioner
from ris.accounts.selectors import facility_settings
from ris.core.actor import Actor
from tests.e2e.browser import House, chromium, needs_chromium, text_of
from tests.factories.accounts import UserFactory
from tests.factories.reporting import drafted, make_patient, make_procedure

pytestmark = needs_chromium
#: Where to put pictures of what the journey shows; none are taken without it.
PICTURES = os.environ.get("PICHA_PICTURES", "")


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


def look(page: Any, name: str) -> None:
    if not PICTURES:
        return
    for theme in ("light", "dark"):
        for width in (1440, 390):
            page.set_viewport_size({"width": width, "height": 900})
            page.evaluate("theme => document.documentElement.dataset.bsTheme = theme", theme)
            page.wait_for_timeout(400)
            page.screenshot(path=str(Path(PICTURES) / f"{name}-{theme}-{width}.png"))
    page.set_viewport_size({"width": 1440, "height": 900})
    page.evaluate("document.documentElement.dataset.bsTheme = 'light'")


def acknowledged_by_the_referrer(house: House) -> None:
    page = house.enter("salome", "/results/")
    page.click("a[href^='/results/'] >> text=US thyroid")
    page.click("text=I have read this")
    page.wait_for_selector("text=has read this")


def corrected_with_a_reason(house: House) -> None:
    page = house.enter("wekesa", f"/reports/{Report.objects.get().uuid}/correct/")
    page.fill("[name=section-findings]", "Right lobe: solid nodule of 21 mm.")
    page.fill("[name=section-impression]", page.input_value("[name=section-impression]").replace("left", "right"))
    page.fill("[name=reason]", "The side was wrong")
    page.click("button.btn-primary")
    page.wait_for_selector("text=This report was corrected")
    assert "The side was wrong" in text_of(page)
    look(page, "corrected")

    # who acknowledged the first version is told, opens the corrected one and acknowledges that
    page = house.enter("salome", "/notifications/")
    assert "changed" in text_of(page)
    page.goto("/results/")
    look(page, "inbox-corrected")
    page.click("a[href^='/results/'] >> text=US thyroid")
    page.wait_for_selector("text=The side was wrong")
    said = text_of(page)
    assert "right lobe" in said.lower() and "Corrected" in said
    page.click("text=I have read this")
    page.wait_for_selector("text=has read this")
    versions = ReportDelivery.objects.filter(channel="inbox").order_by("report_version__number")
    assert [row.status for row in versions][-2:] == ["acknowledged", "acknowledged"]
    page = house.enter("wekesa", f"/reports/{Report.objects.get().uuid}/")
    page.goto(f"/reports/{Report.objects.get().uuid}/versions/")
    assert page.locator(".rp-recalled").count() == 1
    look(page, "versions")


def a_thyroid_to_read() -> Any:
    """An exam with a prior, a resident and an attending to read it, a requester to hear of it."""
    UserFactory(username="chebet", given_name="Ruth", family_name="Chebet", roles=("resident",))
    UserFactory(username="wekesa", prefix="Dr", given_name="Naliaka", family_name="Wekesa", roles=("radiologist",))
    services.ensure_templates()
    settings = facility_settings()
    settings.recall_minutes = 5
    settings.save()
    patient = make_patient("OTIENO", sex="F")
    make_procedure(patient=patient, status="final", minutes_ago=90_000, description="US neck", body_region="neck")
    return make_procedure(
        patient=patient,
        modality="US",
        description="US thyroid",
        body_region="thyroid",
        code="USTHY",
        requester=Practitioner.objects.create(
            user=UserFactory(username="salome", family_name="Atieno", roles=("referring_physician",)),
            family_name="Atieno",
            given_name="Salome",
        ),
    )


def test_a_report_is_read_by_two_recalled_and_corrected(house: House) -> None:
    procedure = a_thyroid_to_read()

    # the resident: a prior cited, a scale kept, a check that stops, a preliminary signature
    page = house.enter("chebet", f"/reading/exams/{procedure.uuid}/")
    page.click("#open button")
    page.wait_for_selector("[data-editor]")
    page.fill("#s-findings", "Left lobe: solid nodule of 16 mm.")
    page.fill("#s-impression", "Nodule of the left lobe [size].")
    page.click(".rp-scale > summary")
    scale = page.locator("form[data-scale]:visible").first
    assert scale.locator("[name=scheme]").get_attribute("value") == "tirads"
    for key, value in (
        ("composition", "solid"), ("echogenicity", "hypo"), ("shape", "wider"), ("margin", "smooth"),
    ):  # fmt: skip
        scale.locator(f"[name=a-{key}]").select_option(value)
    scale.locator("[name=a-size]").fill("16")
    page.wait_for_selector("[data-scale-result] >> text=TR4")
    look(page, "editor-scale")
    scale.locator("button.btn-primary").click()
    page.wait_for_selector(".rp-score >> text=TR4")
    page.wait_for_selector("[data-check=template_residue]")
    assert "Fine-needle aspiration" in page.input_value("#s-impression")
    page.fill("#s-impression", page.input_value("#s-impression").replace(" [size]", ""))
    page.click("[data-sign-as=preliminary]")
    page.wait_for_selector("text=a final report follows")
    assert Report.objects.get().status == "preliminary"

    # the attending: changes a word, signs, recalls, signs again
    page = house.enter("wekesa", f"/reports/{Report.objects.get().uuid}/")
    page.click("#open button")
    page.wait_for_selector("[data-editor]")
    page.fill("#s-findings", "Left lobe: solid nodule of 21 mm.")
    page.click("[data-sign-as=final]")
    page.wait_for_selector("text=Signed, not delivered yet")
    look(page, "held")
    page.fill("[data-recall-form] [name=reason]", "The side is missing")
    page.click("[data-recall-form] button")
    page.wait_for_selector("[data-editor]")
    page.click("[data-sign-as=final]")
    page.wait_for_selector("text=Signed, not delivered yet")
    page.click("text=Deliver now")
    page.wait_for_selector("text=The report is on its way")
    look(page, "signed")

    # the resident sees what was changed, once
    page = house.enter("chebet", "/reports/changes/")
    said = text_of(page)
    assert "US thyroid" in said and page.inner_text(".diff ins") == "21" and page.inner_text(".diff del") == "16"
    look(page, "changes")
    page.click("text=Seen")
    page.wait_for_selector("text=Nothing new")

    acknowledged_by_the_referrer(house)
    corrected_with_a_reason(house)


def test_normals_are_signed_together(house: House) -> None:
    user = UserFactory(username="mutua", given_name="Peter", family_name="Mutua", roles=("radiologist",))
    actor = Actor("web", user=user)
    for name, words in (("KIPLAGAT", "Normal."), ("HASSAN", "Normal."), ("WANJIKU", "Mass [size].")):
        drafted(make_procedure(patient=make_patient(name)), actor=actor, impression=words)
    page = house.enter("mutua", "/reports/sign/")
    assert page.locator("input[name=report]").count() == 2
    look(page, "batch")
    page.click("text=Sign what is ticked")
    page.wait_for_selector("text=2 reports are signed")
    assert "A field is still to be filled." in text_of(page)
    assert Report.objects.filter(status="final").count() == 2
    page.goto("/reports/checks/")
    look(page, "checks")
