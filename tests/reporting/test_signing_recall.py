"""Around a signature: recall window, co-signatures, several at once, changes shown, the viewer, checks, priors."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.utils import timezone

from orders.models import Patient, RequestedProcedure
from reporting import selectors, services
from reporting.models import (
    CheckSetting,
    CoSignature,
    DeliveryRule,
    Report,
    ReportDelivery,
    ReportRecall,
    ViewerContext,
)
from reporting.releasing import claim_held
from reporting.selectors.reports import attending_changes, changes_for, version_of
from reporting.services.batch import candidates
from reporting.services.checks import CHECKS, checks_before_signing, checks_of
from reporting.services.dates import dates_in
from reporting.services.signing import ChecksFailed
from ris.accounts.selectors import facility_settings
from ris.core.errors import InvalidData, InvalidTransition, NotKnown, NotPermitted
from ris.events.dispatcher import drain
from ris.events.models import OutboxEvent
from ris.tenants.context import use_facility
from tests.factories.accounts import actor_with_roles
from tests.factories.reporting import drafted, make_patient, make_procedure, signed
from tests.reporting.test_admin import door
from tests.reporting.test_api import client_of, url

pytestmark = pytest.mark.django_db


def set_window(minutes: int) -> None:
    settings = facility_settings()
    settings.recall_minutes = minutes
    settings.save()


def finals() -> int:
    return OutboxEvent.objects.filter(name="reporting.report_finalized").count()


# --- the recall window


def test_nothing_leaves_before_the_window_ends(people: Any) -> None:
    set_window(5)
    procedure = make_procedure(requester=people.referrer.practitioner)
    report = signed(procedure, actor=people.radiologist)
    assert (report.status, report.is_held, finals(), ReportDelivery.objects.count()) == ("final", True, 0, 0)
    assert not Report.objects.visible_to(people.referrer.actor).exists()
    assert not Report.objects.visible_to(people.clerk).exists()
    assert claim_held() == []
    Report.objects.update(held_until=timezone.now() - timedelta(seconds=1))
    drain("alpha")
    assert (Report.objects.get().is_held, finals(), ReportDelivery.objects.count()) == (False, 1, 1)
    assert Report.objects.visible_to(people.referrer.actor).exists()
    services.release_held(report)
    assert (finals(), ReportDelivery.objects.count()) == (1, 1)


def test_the_signer_recalls_writes_on_and_signs_again(people: Any) -> None:
    set_window(5)
    procedure = make_procedure(requester=people.referrer.practitioner)
    report = signed(procedure, actor=people.radiologist)
    with pytest.raises(InvalidData):
        services.recall_report(report, reason=" ", actor=people.radiologist)
    with pytest.raises(NotPermitted):
        services.recall_report(report, reason="Not mine", actor=people.other)
    report = services.recall_report(report, reason="Forgot the left lung", actor=people.radiologist)
    assert (report.status, report.signed_by, report.is_held) == ("partial", None, False)
    assert RequestedProcedure.objects.get(pk=procedure.pk).status == "reading"
    assert ReportRecall.objects.get().reason == "Forgot the left lung"
    assert report.history.first().history_change_reason.startswith("Recalled: Forgot")
    assert not Report.objects.visible_to(people.clerk).exists()
    again = services.sign_report(report, sections={"impression": "Left nodule."}, actor=people.radiologist)
    services.release_now(again, actor=people.radiologist)
    assert list(again.versions.values_list("number", "kind", "recalls")) == [(1, "final", 0), (2, "final", 1)]
    shown = Report.objects.visible_to(people.clerk).for_display().get()
    assert [row.number for row in shown.standing_versions] == [2]
    assert ReportDelivery.objects.get().report_version.number == 2
    with pytest.raises(NotKnown):
        version_of(shown, 1, actor=people.clerk)
    assert version_of(shown, 1, actor=people.radiologist).is_recalled


def test_a_preliminary_report_is_preliminary_again_after_a_recall(people: Any) -> None:
    set_window(5)
    procedure = make_procedure()
    report = services.sign_preliminary(drafted(procedure, actor=people.resident), actor=people.resident)
    report = services.sign_report(report, sections={"impression": "Normal."}, actor=people.radiologist)
    report = services.recall_report(report, reason="Too early", actor=people.radiologist)
    assert (report.status, RequestedProcedure.objects.get(pk=procedure.pk).status) == ("preliminary", "preliminary")


@pytest.mark.parametrize("why", ["stat", "asked", "alert", "none"])
def test_what_may_not_wait_does_not(people: Any, why: str) -> None:
    set_window(0 if why == "none" else 5)
    procedure = make_procedure(priority="stat" if why == "stat" else "routine")
    report = drafted(procedure, actor=people.radiologist)
    if why == "alert":
        services.raise_critical_result(
            procedure, report=report, category=1, finding="Pneumothorax", actor=people.radiologist
        )
    report = services.sign_report(report, at_once=why == "asked", actor=people.radiologist)
    assert (report.is_held, finals()) == (False, 1)
    with pytest.raises(InvalidTransition):
        services.recall_report(report, reason="Too late", actor=people.radiologist)


def test_an_addendum_leaves_with_what_was_held_and_a_retraction_tells_nobody(people: Any) -> None:
    set_window(5)
    report = signed(make_procedure(requester=people.referrer.practitioner), actor=people.radiologist)
    report = services.add_addendum(report, text="More.", actor=people.other)
    assert (report.is_held, report.status, finals()) == (False, "appended", 1)
    assert not OutboxEvent.objects.filter(name="reporting.report_amended").exists()
    assert [line.report_version.number for line in ReportDelivery.objects.filter(report=report)] == [2]
    services.release_held(report)
    assert finals() == 1
    other = signed(make_procedure(requester=people.referrer.practitioner), actor=people.radiologist)
    services.retract_report(other, reason="Wrong patient", actor=people.other)
    assert (finals(), ReportDelivery.objects.filter(report=other).count()) == (1, 0)


def test_a_correction_in_the_window_goes_out_instead_of_what_was_wrong(people: Any) -> None:
    set_window(5)
    DeliveryRule.objects.create(channel="hl7", destination="HIS")
    seen = make_procedure(requester=people.referrer.practitioner)
    report = services.sign_preliminary(drafted(seen, actor=people.resident), actor=people.resident)
    report = services.sign_report(report, sections={"impression": "Left nodule."}, actor=people.radiologist)
    report = services.correct_report(
        report, sections={"impression": "Right nodule."}, reason="Wrong side", actor=people.radiologist
    )
    (event,) = OutboxEvent.objects.filter(name="reporting.report_finalized")
    assert (report.is_held, report.status, event.payload["version"]) == (False, "corrected", 3)
    assert not OutboxEvent.objects.filter(name="reporting.report_amended").exists()
    # nobody ever got version 2; the referrer, who had the preliminary one, is told of the change
    lines = ReportDelivery.objects.filter(report=report).exclude(status="superseded")
    assert {(line.channel, line.report_version.number) for line in lines} == {("inbox", 3), ("hl7", 3)}
    assert not ReportDelivery.objects.filter(report_version__number=2).exists()
    with pytest.raises(InvalidTransition):
        services.recall_report(report, reason="Too late", actor=people.radiologist)


def test_a_retraction_in_the_window_is_told_to_who_got_the_preliminary(people: Any) -> None:
    set_window(5)
    draft = drafted(make_procedure(requester=people.referrer.practitioner), actor=people.resident)
    report = services.sign_preliminary(draft, actor=people.resident)
    report = services.sign_report(report, sections={"impression": "Normal."}, actor=people.radiologist)
    services.retract_report(report, reason="Wrong patient", actor=people.other)
    told = OutboxEvent.objects.filter(name="reporting.report_amended").get()
    assert (told.payload["kind"], finals()) == ("retraction", 0)


def test_recalls_and_co_signatures_never_change(people: Any) -> None:
    set_window(5)
    report = signed(actor=people.radiologist)
    services.co_sign(report, actor=people.other)
    services.recall_report(report, reason="x", actor=people.radiologist)
    for table in ("reporting_reportrecall", "reporting_cosignature"):
        for statement in (f"update {table} set uuid = gen_random_uuid()", f"delete from {table}"):
            with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(statement)


# --- co-signatures, changes, several at once


def test_a_second_radiologist_co_signs_once(people: Any) -> None:
    report = signed(actor=people.radiologist)
    with pytest.raises(NotPermitted):
        services.co_sign(report, actor=people.radiologist)
    with pytest.raises(NotPermitted):
        services.co_sign(report, actor=people.resident)
    services.co_sign(report, actor=people.other)
    row = CoSignature.objects.get()
    assert (row.signed_by, row.content_hash) == (people.other.user, report.versions.get().content_hash)
    with pytest.raises(InvalidTransition):
        services.co_sign(report, actor=people.other)
    with pytest.raises(InvalidTransition):
        services.co_sign(drafted(actor=people.radiologist), actor=people.other)


def test_a_resident_sees_what_the_attending_changed_until_it_is_read(people: Any) -> None:
    report = services.sign_preliminary(drafted(actor=people.resident), actor=people.resident)
    assert not changes_for(people.resident).exists()
    services.sign_report(report, sections={"impression": "Nodule of 21 mm."}, actor=people.radiologist)
    report = changes_for(people.resident).get()
    (diff,) = attending_changes(report)
    assert (diff.key, diff.new) == ("impression", "Nodule of 21 mm.")
    with pytest.raises(NotPermitted):
        services.mark_changes_seen(report, actor=people.radiologist)
    services.mark_changes_seen(report, actor=people.resident)
    assert not changes_for(people.resident).exists()
    assert Report.objects.get().changes_seen_at is not None


def test_several_are_signed_each_with_its_outcome(people: Any) -> None:
    clean = [drafted(actor=people.radiologist) for _n in range(2)]
    open_one = drafted(actor=people.radiologist, findings="Size [mm].")
    foreign = drafted(actor=people.other)
    rows = {row.report.pk: row.is_clean for row in candidates(people.radiologist)}
    assert rows == {clean[0].pk: True, clean[1].pk: True, open_one.pk: False}
    outcomes = services.sign_batch([*clean, open_one, foreign], actor=people.radiologist)
    assert [bool(row.refusal) for row in outcomes] == [False, False, True, True]
    assert Report.objects.filter(status="final").count() == 2
    with pytest.raises(NotPermitted):
        services.sign_batch([], actor=people.resident)


# --- the viewer's patient


def test_a_viewer_on_another_patient_stops_every_signature(people: Any) -> None:
    mine, other = make_procedure(images=1), make_procedure(images=1)
    report = drafted(mine, actor=people.radiologist)
    for told in (True, False):
        if told:
            services.tell_viewer_study(other.study_instance_uid, actor=people.radiologist)
        shown = "" if told else other.study_instance_uid
        for sign in (services.sign_report, services.sign_preliminary):
            with pytest.raises(ChecksFailed) as refusal:
                sign(report, viewer_study=shown, actor=people.radiologist)
            assert "viewer" in refusal.value.detail.lower()
        services.tell_viewer_study("", actor=people.radiologist)
    prior = make_procedure(patient=mine.order.patient, status="final", images=1)
    services.tell_viewer_study(prior.study_instance_uid, actor=people.radiologist)
    assert services.sign_report(report, actor=people.radiologist).status == "final"


def test_a_viewer_that_fell_silent_counts_no_more(people: Any) -> None:
    other = make_procedure(images=1)
    services.tell_viewer_study(other.study_instance_uid, actor=people.radiologist)
    ViewerContext.objects.update(told_at=timezone.now() - timedelta(minutes=16))
    assert signed(actor=people.radiologist).status == "final"


# --- checks


def test_a_facility_weighs_its_checks_within_what_is_allowed(people: Any) -> None:
    report = drafted(actor=people.radiologist, findings="Nodule measures 12.")
    assert [(row.code, row.level) for row in checks_of(report)] == [("unit", "warn")]
    services.set_check_level("unit", level="block", actor=people.radiologist)
    with pytest.raises(ChecksFailed):
        services.sign_report(report, actor=people.radiologist)
    services.set_check_level("unit", level="off", actor=people.radiologist)
    assert checks_of(report) == []
    assert CheckSetting.objects.get().history.count() == 2
    for code, level in (("viewer_mismatch", "off"), ("empty_impression", "warn"), ("nothing", "off")):
        with pytest.raises(InvalidData):
            services.set_check_level(code, level=level, actor=people.radiologist)
    with pytest.raises(NotPermitted):
        services.set_check_level("unit", level="off", actor=people.resident)


def test_critical_words_stop_until_they_are_answered(people: Any) -> None:
    report = drafted(actor=people.radiologist, impression="Acute pulmonary embolism.")
    with pytest.raises(ChecksFailed):
        services.sign_report(report, actor=people.radiologist)
    services.answer_not_critical(report, actor=people.radiologist)
    report.refresh_from_db()
    assert (report.not_critical, checks_of(report)) == (["pulmonary embolism"], [])
    text = {"impression": "Acute pulmonary embolism. Subdural haematoma."}
    report = services.save_report(report, sections=text, revision=report.revision, actor=people.radiologist)
    assert [row.words for row in checks_of(report)] == ["subdural"]


@pytest.mark.parametrize(
    "words, found",
    [
        ("CT abdomen 2025-03-02.", [date(2025, 3, 2)]),
        ("CT 2 March 2025 and 02/03/2025", [date(2025, 3, 2), date(2025, 3, 2)]),
        ("Machi 2, 2025; 2 Juni 2024", [date(2025, 3, 2), date(2024, 6, 2)]),
        ("2025-13-40, 12 mm, L4/5", []),
    ],
)
def test_days_are_read_in_both_languages(words: str, found: list[date]) -> None:
    assert sorted(day for _said, day in dates_in(words)) == sorted(found)


def test_a_comparison_with_a_day_without_an_exam_warns(people: Any) -> None:
    patient = make_patient()
    then = datetime(2025, 3, 2, 9, tzinfo=UTC)
    make_procedure(patient=patient, status="final", performed_at=then)
    procedure = make_procedure(patient=patient)
    right = drafted(procedure, actor=people.radiologist, comparison="CT chest 2 March 2025.")
    assert checks_of(right) == []
    sections = {**right.sections, "comparison": "CT chest 3 March 2025."}
    assert [(row.code, row.target) for row in checks_of(right, sections)] == [("comparison_date", "comparison")]


@pytest.mark.parametrize(
    "sections, facts, code",
    [
        ({"impression": "Mimba nje ya kizazi."}, {}, "critical_words"),
        ({"findings": "Tezi dume imevimba."}, {"sex": "F"}, "sex"),
        ({"findings": "Uvimbe yenye ukubwa wa 12."}, {}, "unit"),
        ({"findings": "{{patient.age}}"}, {}, "template_residue"),
        ({"findings": "Liver [[normal|enlarged]]"}, {}, "template_residue"),
        ({"findings:x": "Fracture of the right wrist."}, {"sides": {"findings:x": "L"}}, "laterality"),
        ({"impression": "BI-RADS 2."}, {"assessed": [("birads", "4A")]}, "assessment_mismatch"),
        ({}, {"assessed": [("birads", "4A")]}, "assessment_unsaid"),
        ({}, {"shows_other_patient": True}, "viewer_mismatch"),
        ({}, {"unanswered": [("Side", True)]}, "form_required"),
        ({}, {"unanswered": [("Size", False)]}, "form_open"),
    ],
)
def test_more_that_is_found(sections: dict[str, str], facts: dict[str, Any], code: str) -> None:
    fine = {"findings": "Lungs: Clear.", "impression": "Normal chest."}
    found = checks_before_signing({**fine, **sections}, **facts)
    assert [row.code for row in found] == [code]
    assert found[0].title == str(CHECKS[code].title)


# --- priors


def test_priors_of_merged_records_are_ranked_and_cited(people: Any) -> None:
    patient, merged = make_patient(), make_patient()
    Patient.objects.filter(pk=merged.pk).update(merged_into=patient, merged_at=timezone.now())
    now = timezone.now()
    rows = [
        make_procedure(patient=whose, status="final", performed_at=now - timedelta(days=days), **fields)
        for whose, days, fields in (
            (patient, 1, {"modality": "US", "body_region": "neck", "code": "USNECK"}),
            (merged, 900, {}),
            (patient, 30, {"modality": "CR", "code": "CXR"}),
        )
    ]
    make_procedure(status="final")
    procedure = make_procedure(patient=patient)
    priors = selectors.priors_of([procedure], actor=people.radiologist)
    assert [prior.procedure.pk for prior in priors] == [rows[1].pk, rows[2].pk, rows[0].pk]
    report = services.open_report([procedure], actor=people.radiologist)
    for _twice in range(2):
        report = services.cite_prior(report, prior=rows[1], actor=people.radiologist)
    assert report.sections["comparison"].count(priors[0].citation) == 1
    assert checks_of(report, {**report.sections, "findings": "x", "impression": "y"}) == []
    with pytest.raises(NotKnown):
        services.cite_prior(report, prior=make_procedure(status="final"), actor=people.radiologist)


# --- doors


def test_the_pages_recall_co_sign_and_sign_several(people: Any) -> None:
    set_window(5)
    reader, second = door(people.radiologist.user), door(people.other.user)
    report = signed(actor=people.radiologist)
    page = reader.get(f"/reports/{report.uuid}/").content.decode()
    assert "Signed, not delivered yet" in page and "data-recall=" in page
    assert "data-recall=" not in second.get(f"/reports/{report.uuid}/").content.decode()
    assert reader.post(f"/reports/{report.uuid}/recall/", {"reason": "Typo"}).status_code == 302
    assert reader.post(f"/reports/{report.uuid}/sign/", {"kind": "final"}).status_code == 302
    assert reader.post(f"/reports/{report.uuid}/send-now/").status_code == 302
    assert second.post(f"/reports/{report.uuid}/co-sign/").status_code == 302
    page = reader.get(f"/reports/{report.uuid}/").content.decode()
    assert "Co-signed" in page and "Mutua" in page
    versions = reader.get(f"/reports/{report.uuid}/versions/?from=1&to=2").content.decode()
    assert "Version 1 to 2" in versions
    drafts = [drafted(actor=people.radiologist), drafted(actor=people.radiologist, impression="")]
    assert "Nothing stands in the way" in reader.get("/reports/sign/").content.decode()
    signed_now = reader.post("/reports/sign/", {"report": [str(row.uuid) for row in drafts]}).content.decode()
    assert "1 report is signed" in signed_now and "1 report was not signed" in signed_now
    assert reader.post("/reports/checks/", {"code": "unit", "level": "block"}).status_code == 302
    assert CheckSetting.objects.get().level == "block"


def test_what_one_may_not_do_is_refused_at_every_door(people: Any, beta: Any) -> None:
    report = signed(actor=people.radiologist)
    with use_facility("beta"):
        foreign = signed(actor=actor_with_roles("radiologist"))
    resident, reader = door(people.resident.user), door(people.radiologist.user)
    posts = ("recall/", "send-now/", "co-sign/")
    for path in posts:
        assert resident.post(f"/reports/{report.uuid}/{path}").status_code == 403
        assert reader.post(f"/reports/{foreign.uuid}/{path}", {"reason": "x"}).status_code == 404
        assert client_of(people.clerk).post(url(report, path), {"reason": "x"}).status_code == 403
        assert client_of(people.radiologist).post(url(foreign, path), {"reason": "x"}).status_code == 404
    for path in ("/reports/sign/", "/reports/checks/"):
        assert resident.get(path).status_code == 403
    for path in ("assessments/", "cite/", "not-critical/", "assessments/preview/", "assessments/remove/"):
        assert door(people.clerk.user).post(f"/reports/{report.uuid}/{path}").status_code == 403
        assert reader.post(f"/reports/{foreign.uuid}/{path}").status_code in (400, 404)
    assert isinstance(resident, Client)


def test_rest_recalls_signs_several_and_sets_checks(people: Any) -> None:
    set_window(5)
    reader = client_of(people.radiologist)
    report = drafted(actor=people.radiologist)
    held = reader.post(url(report, "sign/"), {}).json()
    assert (held["status"], held["held_until"] is not None) == ("final", True)
    back = reader.post(url(report, "recall/"), {"reason": "Typo"}).json()
    assert (back["status"], back["versions"][0]["recalled_at"] is not None) == ("partial", True)
    other = drafted(actor=people.radiologist, impression="")
    body = {"reports": [str(report.uuid), str(other.uuid)]}
    outcomes = reader.post("/api/v1/reports/sign-batch/", body, format="json").json()
    assert [row["is_signed"] for row in outcomes] == [True, False]
    assert reader.post(url(report, "send-now/")).json()["held_until"] is None
    assert client_of(people.other).post(url(report, "co-sign/"), {}).json()["versions"][-1]["co_signed_by"]
    stale = client_of(people.other, minutes_ago=500).post(url(report, "co-sign/"), {})
    assert stale.status_code == 403 and "reauthentication" in stale.content.decode()
    assert reader.post("/api/v1/signing-checks/", {"code": "unit", "level": "off"}).status_code == 200
    rows = {row["code"]: row["level"] for row in reader.get("/api/v1/signing-checks/").json()}
    assert (rows["unit"], rows["viewer_mismatch"]) == ("off", "block")
    resident = client_of(people.resident)
    preliminary = services.sign_preliminary(drafted(actor=people.resident), actor=people.resident)
    services.sign_report(preliminary, at_once=True, actor=people.radiologist)
    assert len(resident.get("/api/v1/reports/changes/").json()) == 1
    assert resident.post(url(preliminary, "changes-seen/")).status_code == 200
    assert resident.get("/api/v1/reports/changes/").json() == []


def test_rest_lists_and_cites_priors(people: Any) -> None:
    patient = make_patient()
    prior = make_procedure(patient=patient, status="final")
    report = services.open_report([make_procedure(patient=patient)], actor=people.radiologist)
    reader = client_of(people.radiologist)
    (row,) = reader.get(url(report, "priors/")).json()
    assert (row["id"], row["report"]) == (str(prior.uuid), None)
    cited = reader.post(url(report, "cite-prior/"), {"prior": str(prior.uuid)}).json()
    assert row["citation"] in cited["sections"]["comparison"]
    assert reader.post(url(report, "cite-prior/"), {"prior": str(report.uuid)}).status_code == 404


def test_the_batch_page_costs_a_fixed_number_of_queries_per_report(
    people: Any, django_assert_max_num_queries: Any
) -> None:
    for _n in range(3):
        drafted(actor=people.radiologist)
    reader = door(people.radiologist.user)
    reader.get("/reports/sign/")
    with django_assert_max_num_queries(90):
        reader.get("/reports/sign/")
