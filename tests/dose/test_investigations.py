"""A median above its level: investigated, acted upon, measured again; and the facility's own levels."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from dose import investigations, selectors
from dose.models import DoseInvestigation, DoseReport, LevelScope, ReferenceLevel
from ris.core.errors import InvalidData, InvalidTransition, NotPermitted
from ris.core.permissions import PHYSICIST, TECHNOLOGIST
from tests.dose.test_web_and_api import exams, filled, sign_in  # noqa: F401
from tests.factories.accounts import actor_with_roles, user_with_roles


@pytest.fixture
def house(exams):  # noqa: F811
    catalogue = exams[0].procedure.catalogue
    level = ReferenceLevel.objects.get(authority="UK", exam="Head, acute stroke", quantity="dlp")
    room = max(selectors_of(catalogue, level), key=lambda group: group.count).name
    return catalogue, level, room


def selectors_of(catalogue, level):
    from dose.quantities import QUANTITIES

    return selectors.groups(
        actor=actor_with_roles(PHYSICIST),
        tab="CT",
        exam=catalogue,
        quantity=QUANTITIES["dlp"],
        level=level,
        days=365,
    )


def performed(*, factor: float, moment) -> None:
    for report in DoseReport.objects.filter(station_name="CT1"):
        DoseReport.objects.filter(pk=report.pk).update(performed_at=moment, dlp_total=report.dlp_total * factor)


def test_from_a_median_above_to_one_below(house):
    catalogue, level, room = house
    physicist = actor_with_roles(PHYSICIST)
    with pytest.raises(NotPermitted):
        investigations.open_investigation(level, catalogue=catalogue, room=room, actor=actor_with_roles(TECHNOLOGIST))
    few = next(group.name for group in selectors_of(catalogue, level) if not group.is_enough)
    with pytest.raises(InvalidData) as refused:
        investigations.open_investigation(level, catalogue=catalogue, room=few, actor=physicist)
    assert "3/20" in str(refused.value.errors)
    high = ReferenceLevel.objects.get(authority="Kenya", exam="Head", quantity="dlp")
    with pytest.raises(InvalidData):
        investigations.open_investigation(high, catalogue=catalogue, room=room, actor=physicist)
    row = investigations.open_investigation(level, catalogue=catalogue, room=room, actor=physicist)
    assert (row.median, row.exam_count, row.limit, row.status) == (1200, 21, 790, "open")
    again = investigations.open_investigation(level, catalogue=catalogue, room=room, actor=physicist)
    assert again.pk == row.pk and DoseInvestigation.objects.count() == 1
    with pytest.raises(InvalidData):
        investigations.measure_again(row, actor=physicist)
    with pytest.raises(InvalidData):
        investigations.record_action(row, cause=" ", action="x" * 301, actor=physicist)
    row = investigations.record_action(row, cause="Old protocol", action="Lower mAs", actor=physicist)
    with pytest.raises(InvalidTransition):
        investigations.record_action(row, cause="a", action="b", actor=physicist)
    with pytest.raises(InvalidData) as refused:
        investigations.measure_again(row, actor=physicist)
    assert "0/20" in str(refused.value.errors)
    performed(factor=0.9, moment=timezone.now() + timedelta(minutes=1))
    row = investigations.measure_again(row, actor=physicist)
    assert (row.status, row.new_median, row.new_exam_count) == ("open", 1080, 21)
    row = investigations.record_action(row, cause="Old protocol", action="Another curve", actor=physicist)
    performed(factor=0.5, moment=timezone.now() + timedelta(minutes=1))
    row = investigations.measure_again(row, actor=physicist)
    assert (row.status, row.new_median) == ("closed", 540)
    assert [entry.status for entry in row.history.order_by("pk")] == ["open", "acted", "open", "acted", "closed"]


def test_local_levels_are_computed_from_rooms_with_enough(house):
    catalogue, _level, _room = house
    physicist = actor_with_roles(PHYSICIST)
    level = investigations.compute_local_level(catalogue, quantity="dlp", actor=physicist)
    assert (level.value, level.unit, level.scope, level.band) == (1200, "mGy.cm", LevelScope.LOCAL, "adult")
    assert "1 rooms, 21 exams" in level.source and "Typical" in level.certainty
    assert investigations.compute_local_level(catalogue, quantity="dlp", actor=physicist).pk == level.pk
    assert level in selectors.levels_for(actor=physicist, tab="CT", quantity="dlp")
    with pytest.raises(InvalidData):
        investigations.compute_local_level(catalogue, quantity="dap", actor=physicist)
    DoseReport.objects.filter(station_name="CT1").update(is_of_a_patient=False)
    with pytest.raises(InvalidData) as refused:
        investigations.compute_local_level(catalogue, quantity="dlp", actor=physicist)
    assert "3/20" in str(refused.value.errors)


def test_on_the_page_and_over_rest(house, tclient, api):
    catalogue, level, room = house
    sign_in(tclient, PHYSICIST)
    assert "/dose/investigations/" in tclient.get(f"/dose/?level={level.uuid}").content.decode()
    asked = {"level": level.uuid, "exam": catalogue.code, "room": room}
    assert tclient.post("/dose/investigations/", asked).status_code == 302
    row = DoseInvestigation.objects.get()
    noted = {"cause": "Old protocol", "action": "Lower mAs", "measure_again_on": "2031-01-02"}
    assert tclient.post(f"/dose/investigations/{row.uuid}/", noted).status_code == 302
    performed(factor=0.5, moment=timezone.now() + timedelta(minutes=1))
    assert tclient.post(f"/dose/investigations/{row.uuid}/measure/").status_code == 302
    words = tclient.get("/dose/").content.decode()
    assert "Old protocol" in words and "Lower mAs" in words and "Closed" in words
    assert tclient.post("/dose/local-level/", {"exam": catalogue.code, "quantity": "dlp"}).status_code == 302
    assert tclient.post("/dose/investigations/", asked | {"level": "x"}).status_code == 404
    sign_in(tclient, TECHNOLOGIST)
    assert tclient.post("/dose/investigations/", asked).status_code == 403
    api.force_authenticate(user_with_roles(PHYSICIST))
    rows = api.get("/api/v1/dose-investigations/").json()["results"]
    assert rows[0]["status"] == "closed" and rows[0]["exam"] == catalogue.code
    performed(factor=4, moment=timezone.now())
    made = api.post("/api/v1/dose-investigations/", {k: str(v) for k, v in asked.items()}, format="json")
    assert made.status_code == 201, made.content
    url = f"/api/v1/dose-investigations/{made.json()['id']}/"
    assert api.post(url + "act/", {"cause": "a", "action": "b"}, format="json").json()["status"] == "acted"
    assert api.post(url + "measure/").status_code == 400
