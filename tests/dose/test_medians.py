"""Medians of rooms beside the level of their band: alerts, investigations, local levels, their pages and REST."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from dose import compliance, investigations, selectors, services
from dose.events import DRLExceeded
from dose.models import (
    DoseAlertRule,
    DoseInvestigation,
    DoseReport,
    ExamRule,
    LevelAlert,
    LevelCheck,
    NotPatientRule,
    ReferenceLevel,
    StandardExam,
)
from dose.services import watching
from ris.accounts.models import User
from ris.core.actor import Actor
from ris.core.errors import InvalidData
from ris.core.permissions import PHYSICIST, TECHNOLOGIST
from ris.core.spreadsheet import as_csv
from ris.events.models import OutboxEvent
from ris.notifications.models import Notification
from tests.conftest import shared_start
from tests.dose.test_names_and_levels import call_heads, head, level_values
from tests.dose.test_web_and_api import sign_in
from tests.factories.accounts import actor_with_roles, user_with_roles
from tests.factories.worklist import make_station

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def filled(django_db_setup: None, django_db_blocker: Any) -> Iterator[int]:
    """21 adults at CT1, thirteen at CT2, two children at CT1; who looks at them."""
    with shared_start(django_db_blocker):
        physicist = actor_with_roles(PHYSICIST)
        for name in ("CT1", "CT2"):
            make_station(name)
        call_heads(physicist)
        for number in range(21):
            head(800 + 20 * number)
        for number in range(13):
            head(500 + number, station="CT2")
        for _number in range(2):
            head(99, born=f"{timezone.localdate().year - 4}0101", PatientWeight="16")
        yield physicist.user.pk


@pytest.fixture
def rooms(filled: int, alpha: Any) -> Actor:
    return Actor("web", user=User.objects.get(pk=filled))


def verdicts(physicist, level):
    rows = compliance.compare(actor=physicist, levels=[level])
    return {row.room: (row.patients, row.median, row.verdict) for row in rows}


def test_medians_of_enough_patients_of_the_levels_own_band(rooms, django_assert_num_queries):
    level = services.add_level(**level_values(), actor=rooms)
    ct1 = DoseReport.objects.filter(station_name="CT1").order_by("pk").first()
    room = ct1.station.room.name
    found = verdicts(rooms, level)
    assert found[room] == (21, 1000, "above")
    assert next(value for name, value in found.items() if name != room)[::2] == (13, "few")
    child = services.add_level(**level_values(band="1-6 a", value=300), actor=rooms)
    assert verdicts(rooms, child) == {room: (2, 99, "few")}
    light = services.add_level(**level_values(band="15-30 kg", value=300), actor=rooms)
    assert verdicts(rooms, light) == {room: (2, 99, "few")}
    own = services.add_level(**level_values(band="up to ten", age_below=10, value=300), actor=rooms)
    assert verdicts(rooms, own) == {room: (2, 99, "few")}
    stroke = services.add_level(**level_values(indication="acute stroke"), actor=rooms)
    assert stroke not in compliance.levels_in_force()
    DoseReport.objects.filter(pk=ct1.pk).update(patient_age_years=None)
    assert verdicts(rooms, level)[room][0] == 20
    with django_assert_num_queries(3):
        compliance.compare(actor=rooms)


def test_a_median_above_alerts_once_per_cause_and_opens_an_investigation(rooms, dispatch):
    level = services.add_level(**level_values(), actor=rooms)
    check = services.check_medians(actor=rooms)
    assert (check.compared, check.above) == (1, 1)
    alert = LevelAlert.objects.get()
    assert (alert.median, alert.limit, alert.patient_count, alert.level) == (1000, 800, 21, level)
    assert services.check_medians(actor=rooms) == check and LevelAlert.objects.count() == 1
    assert OutboxEvent.objects.filter(name=DRLExceeded.name).count() == 1
    dispatch()
    assert Notification.objects.filter(template="dose.drl_exceeded", recipient=rooms.user).count() == 1
    row = alert.investigation
    assert (row.exam_name, row.median, row.status) == ("CT head", 1000, "open")
    second = services.revise_level(level, reason="survey", value=850, actor=rooms)
    services.check_medians(actor=rooms)
    assert list(LevelAlert.objects.order_by("pk").values_list("level", flat=True)) == [level.pk, second.pk]
    row = investigations.record_action(row, cause="Old protocol", action="Lower mAs", actor=rooms)
    with pytest.raises(InvalidData) as refused:
        investigations.measure_again(row, actor=rooms)
    assert "0/20" in str(refused.value.errors)
    DoseReport.objects.filter(station_name="CT1").update(
        performed_at=timezone.now() + timedelta(minutes=1), dlp_total=700
    )
    assert investigations.measure_again(row, actor=rooms).status == "closed"
    assert watching.claim_day() == []
    LevelCheck.objects.update(day=timezone.localdate() - timedelta(days=1))
    (day,) = watching.claim_day()
    assert watching.check_day(day) and not watching.check_day(day)


def test_a_person_opens_one_for_a_standard_exam_and_any_level(rooms):
    exam = StandardExam.objects.get(code="ct-head")
    room = DoseReport.objects.filter(station_name="CT1").first().station.room.name
    level = services.add_level(**level_values(standard_exam="", authority="Elsewhere"), actor=rooms)
    row = investigations.open_investigation(level, catalogue=exam, room=room, actor=rooms)
    assert (row.standard_exam, row.median, row.limit) == (exam, 1000, 800)
    assert investigations.open_investigation(level, catalogue=exam, room=room, actor=rooms) == row
    few = DoseReport.objects.filter(station_name="CT2").first().station.room.name
    with pytest.raises(InvalidData) as refused:
        investigations.open_investigation(level, catalogue=exam, room=few, actor=rooms)
    assert "13/20" in str(refused.value.errors)
    assert selectors.exam_of("std:ct-head") == exam and selectors.exam_of("std:no") is None


def test_a_local_level_becomes_a_new_edition_when_it_is_another(rooms):
    exam = StandardExam.objects.get(code="ct-head")
    level = investigations.compute_local_level_of(exam, quantity="dlp", actor=rooms)
    assert (level.value, level.edition, level.standard_exam, level.scope) == (1000, 1, exam, "local")
    assert investigations.compute_local_level_of(exam, quantity="dlp", actor=rooms) == level
    DoseReport.objects.filter(station_name="CT1").update(dlp_total=600)
    second = investigations.compute_local_level_of(exam, quantity="dlp", actor=rooms)
    assert (second.value, second.edition, second.replaces) == (600, 2, level)


# --- pages and doors


def test_the_pages(rooms, tclient, django_assert_max_num_queries):
    client = sign_in(tclient, PHYSICIST)
    unnamed = head(ProtocolName="x")
    ExamRule.objects.update(is_active=False)
    words = client.get("/dose/names/?text=Chest&modality=CT").content.decode()
    assert "No rule fits" in words and "CHEST" in words and "Make the rule" in words
    made = client.post("/dose/names/rules/", {"name": "protocol|CHEST", "exam": "ct-head", "modality": "CT"})
    assert made.status_code == 302 and ExamRule.objects.get(is_active=True).match == "equals"
    rule = ExamRule.objects.get(is_active=True)
    assert client.post(f"/dose/names/rules/{rule.uuid}/", {"before": "1"}).status_code == 302
    assert client.post(f"/dose/names/rules/{rule.uuid}/", {"is_active": "0"}).status_code == 302
    assert client.post(f"/dose/names/rules/{rule.uuid}/", {"is_active": "1"}).status_code == 302
    phantom = {"field": "patient_id", "match": "wildcard", "pattern": "zz*"}
    assert client.post("/dose/names/not-patients/", phantom).status_code == 302
    row = NotPatientRule.objects.get(pattern="zz*")
    assert client.post(f"/dose/names/not-patients/{row.uuid}/", {"is_active": "0"}).status_code == 302
    exam = {"code": "ct-knee", "name": "CT knee", "modality": "CT"}
    assert client.post("/dose/names/exams/", exam).status_code == 302
    assert client.post("/dose/names/apply/").status_code == 302
    assert client.get(f"/dose/reports/{unnamed.uuid}/").status_code == 200
    assert client.post("/dose/levels/add/", level_values(is_watched="1")).status_code == 302
    level = ReferenceLevel.objects.get(authority="Here")
    assert client.post("/dose/compliance/check/").status_code == 302
    words = client.get("/dose/compliance/").content.decode()
    assert "Median above level" in words and "Not enough data (13/20)" in words and 'style="' not in words
    with django_assert_max_num_queries(40):
        client.get("/dose/compliance/?tab=CT&levels=all")
    assert client.post(f"/dose/levels/{level.uuid}/", level_values(value=850, reason="survey")).status_code == 302
    words = client.get(f"/dose/levels/{level.replaced_by.get().uuid}/").content.decode()
    assert "edition 2" in words and "edition 1" in words
    assert "850" in client.get("/dose/levels/?editions=all&modality=CT&authority=Here").content.decode()
    table = client.get("/dose/levels/export/").content
    assert b"Here" in table
    file = SimpleUploadedFile("levels.csv", table.replace(b"Here,2026", b"There,2026"))
    looked = client.post("/dose/levels/import/", {"file": file})
    assert looked.context["counts"]["new"] == 1 and looked.context["counts"]["wrong"] == 0
    assert client.post("/dose/levels/import/", {"table": looked.context["table"], "load": "1"}).status_code == 302
    made = ReferenceLevel.objects.get(authority="There")
    assert client.post(f"/dose/levels/{made.uuid}/withdraw/", {"reason": "no"}).status_code == 302
    local = {"exam": "ct-head", "quantity": "dlp"}
    assert client.post("/dose/compliance/local-level/", local).status_code == 302
    for url in ("standardexam", "examrule", "notpatientrule", "referencelevel", "dosealertrule", "levelalert"):
        assert client.get(f"/admin/dose/{url}/").status_code == 200, url
    changed = client.get(f"/admin/dose/referencelevel/{made.pk}/change/")
    assert changed.status_code == 200
    sign_in(tclient, TECHNOLOGIST)
    assert client.get("/dose/names/").status_code == 200
    for url in ("names/apply/", "names/rules/", "levels/add/", "compliance/check/"):
        assert client.post(f"/dose/{url}").status_code == 403, url


def test_rest(rooms, api):
    api.force_authenticate(user_with_roles(PHYSICIST))
    exam = {"code": "ct-knee", "name": "CT knee", "modality": "CT"}
    assert api.post("/api/v1/standard-exams/", exam, format="json").status_code == 201
    rule = {"field": "protocol", "pattern": "knee", "exam": "ct-knee"}
    made = api.post("/api/v1/exam-rules/", rule, format="json").json()
    assert api.post("/api/v1/exam-rules/try/", {"text": "left knee"}, format="json").json()["exam"] == "ct-knee"
    url = f"/api/v1/exam-rules/{made['id']}/"
    assert api.patch(url, {"pattern": "elbow"}, format="json").json()["pattern"] == "elbow"
    assert api.post("/api/v1/exam-rules/", rule | {"exam": "no"}, format="json").status_code == 404
    ExamRule.objects.update(is_active=False)
    assert api.get("/api/v1/exam-rules/unnamed/").json()[0]["reports"] > 10
    assert api.post("/api/v1/exam-rules/apply/").json() == {"reports": 36}
    phantom = {"field": "patient_id", "pattern": "zz*"}
    assert api.post("/api/v1/not-patient-rules/", phantom, format="json").status_code == 201
    level = api.post("/api/v1/reference-levels/", level_values(), format="json").json()
    assert (level["edition"], level["standard_exam"]) == (1, "ct-head")
    url = f"/api/v1/reference-levels/{level['id']}/"
    revised = api.post(url + "revise/", {"value": 700, "reason": "survey"}, format="json").json()
    assert (revised["edition"], revised["replaces"]) == (2, level["id"])
    assert api.post("/api/v1/level-alerts/check/").json()["above"] == 1
    rows = api.get("/api/v1/level-alerts/comparisons/?tab=CT").json()
    assert {row["verdict"] for row in rows} >= {"above", "few"}
    (alert,) = api.get("/api/v1/level-alerts/").json()["results"]
    assert (alert["level"], alert["patient_count"]) == (revised["id"], 21)
    table = as_csv(list(level_values()), [list(level_values(year=2025).values())]).decode()
    loaded = api.post("/api/v1/reference-levels/load/", {"table": table, "is_preview": False}, format="json")
    assert loaded.json() == [{"row": 2, "outcome": "new", "reasons": []}]
    withdrawn = f"/api/v1/reference-levels/{revised['id']}/withdraw/"
    assert api.post(withdrawn, {"reason": "no"}, format="json").json()["is_active"] is False
    told = {"kind": "drl", "role": "qa_lead"}
    rule = api.post("/api/v1/dose-alert-rules/", told, format="json").json()
    url = f"/api/v1/dose-alert-rules/{rule['id']}/"
    assert api.patch(url, {"is_active": False}, format="json").json()["is_active"] is False
    assert DoseAlertRule.objects.filter(role="qa_lead", is_active=False).count() == 1
    assert DoseInvestigation.objects.count() == 1
