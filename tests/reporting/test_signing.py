"""Writing and signing: each step with its happy path, its refusal, its history, its event and its audit row."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction

from orders.models import RequestedProcedure
from reporting import services
from reporting.models import ReadingLock, Report, ReportVersion
from reporting.services.locks import HeldByAnother
from reporting.services.signing import ChecksFailed
from reporting.services.writing import RevisionConflict
from ris.audit.models import AuditEvent, Outcome
from ris.core.errors import Conflict, InvalidData, InvalidTransition, NotPermitted
from ris.events.models import OutboxEvent
from ris.tenants.context import use_facility
from tests.factories.reporting import SECTIONS, drafted, make_patient, make_procedure, signed

pytestmark = pytest.mark.django_db


def status_of(procedure: RequestedProcedure) -> str:
    return RequestedProcedure.objects.get(pk=procedure.pk).status


def events(name: str) -> int:
    return OutboxEvent.objects.filter(name=f"reporting.{name}").count()


# --- opening


def test_opening_makes_a_draft_claims_it_and_moves_the_exam(people: Any) -> None:
    procedure = make_procedure()
    report = services.open_report([procedure], actor=people.radiologist)
    assert (report.status, status_of(procedure)) == ("registered", "reading")
    assert ReadingLock.objects.get().user == people.radiologist.user
    assert report.history.first().history_user == people.radiologist.user
    assert AuditEvent.objects.filter(event_type="reporting.claim_procedure", entity=report.uuid).count() == 1


def test_the_template_fills_what_the_order_says(people: Any) -> None:
    services.ensure_templates()
    procedure = make_procedure(contrast="iohexol 350")
    report = services.open_report([procedure], actor=people.radiologist)
    assert report.template.name == "CT chest"
    assert report.sections["clinical_information"] == "PE?"
    assert "with iohexol 350" in report.sections["technique"]
    assert report.sections["comparison"] == "None."


def test_the_starter_templates_are_made_once(people: Any) -> None:
    from reporting.models import ReportTemplate

    services.ensure_templates()
    before = ReportTemplate.objects.count()
    assert services.ensure_templates() == 0
    assert ReportTemplate.objects.count() == before >= 20
    assert set(ReportTemplate.objects.values_list("language", flat=True)) == {"en", "sw"}


def test_opening_again_goes_on_with_the_same_draft(people: Any) -> None:
    report = drafted(actor=people.radiologist)
    again = services.open_report(report.procedures.all(), actor=people.radiologist)
    assert (again.pk, again.sections["findings"]) == (report.pk, SECTIONS["findings"])


def test_a_second_reader_is_told_who_reads(people: Any) -> None:
    report = drafted(actor=people.radiologist)
    with pytest.raises(HeldByAnother) as refusal:
        services.open_report(report.procedures.all(), actor=people.other)
    assert "Wekesa" in refusal.value.detail
    assert AuditEvent.objects.filter(outcome=Outcome.REFUSED, event_type="reporting.claim_procedure").count() == 1


def test_an_idle_lock_is_free_and_the_draft_stays(people: Any) -> None:
    report = drafted(actor=people.radiologist)
    ReadingLock.objects.update(heartbeat_at="2020-01-01T00:00Z")
    assert services.beat(report, actor=people.radiologist) is False
    again = services.open_report(report.procedures.all(), actor=people.other)
    assert again.sections["findings"] == SECTIONS["findings"]
    assert ReadingLock.objects.get().user == people.other.user


def test_a_heartbeat_keeps_the_lock(people: Any) -> None:
    report = drafted(actor=people.radiologist)
    before = ReadingLock.objects.get().heartbeat_at
    assert services.beat(report, actor=people.radiologist) is True
    assert ReadingLock.objects.get().heartbeat_at > before
    assert services.beat(report, actor=people.other) is False


def test_releasing_gives_the_exam_back(people: Any) -> None:
    procedure = make_procedure()
    report = drafted(procedure, actor=people.radiologist)
    services.release_report(report, actor=people.radiologist)
    assert (status_of(procedure), ReadingLock.objects.count()) == ("ready_to_read", 0)
    assert Report.objects.get().sections["impression"] == SECTIONS["impression"]


def test_taking_over_needs_a_reason_and_is_recorded(people: Any) -> None:
    report = drafted(actor=people.radiologist)
    with pytest.raises(InvalidData):
        services.take_over(report, reason=" ", actor=people.other)
    services.take_over(report, reason="Shift has ended", actor=people.other)
    assert ReadingLock.objects.get().user == people.other.user
    row = AuditEvent.objects.get(reason="Shift has ended")
    assert row.detail["from"] == [str(people.radiologist.user.uuid)]


def test_a_resident_takes_nothing_over(people: Any) -> None:
    report = drafted(actor=people.radiologist)
    with pytest.raises(NotPermitted):
        services.take_over(report, reason="I want to", actor=people.resident)


@pytest.mark.parametrize("status", ["scheduled", "in_progress", "cancelled"])
def test_what_is_not_performed_is_not_read(people: Any, status: str) -> None:
    with pytest.raises(InvalidTransition):
        services.open_report([make_procedure(status=status)], actor=people.radiologist)
    assert Report.objects.count() == 0


def test_one_report_covers_exams_of_one_patient_only(people: Any) -> None:
    patient = make_patient()
    both = [make_procedure(patient=patient), make_procedure(patient=patient, description="CT abdomen")]
    report = services.open_report(both, actor=people.radiologist)
    assert report.procedures.count() == 2
    with pytest.raises(InvalidData):
        services.open_report([make_procedure(), make_procedure()], actor=people.radiologist)
    with pytest.raises(Conflict):
        services.open_report([both[0], make_procedure(patient=patient)], actor=people.radiologist)


# --- writing


def test_saving_counts_revisions_and_makes_it_a_draft(people: Any) -> None:
    report = services.open_report([make_procedure()], actor=people.radiologist)
    report = services.save_report(report, sections=SECTIONS, revision=0, actor=people.radiologist)
    assert (report.status, report.revision, report.edited_by) == ("partial", 1, people.radiologist.user)
    report = services.save_report(report, sections=SECTIONS, revision=1, actor=people.radiologist)
    assert report.revision == 1


def test_a_stale_revision_is_refused_and_says_who_and_when(people: Any) -> None:
    report = drafted(actor=people.radiologist)
    with pytest.raises(RevisionConflict) as refusal:
        services.save_report(report, sections={"findings": "Mine"}, revision=0, actor=people.radiologist)
    assert refusal.value.errors["saved_by"] == people.radiologist.user.display_name
    assert refusal.value.errors["revision"] == 1
    assert "Mine" not in str(refusal.value.errors)
    assert Report.objects.get().sections["findings"] == SECTIONS["findings"]


@pytest.mark.parametrize(
    "sections", [{"secret": "x"}, {"findings": 3}, {"findings": "x" * 60_000}], ids=["name", "type", "length"]
)
def test_text_that_cannot_be_stored_is_named(people: Any, sections: dict[str, Any]) -> None:
    report = drafted(actor=people.radiologist)
    with pytest.raises(InvalidData) as refusal:
        services.save_report(report, sections=sections, revision=report.revision, actor=people.radiologist)
    assert set(refusal.value.errors) == set(sections)


# --- preliminary, final


def test_a_resident_signs_preliminary_and_an_attending_final(people: Any) -> None:
    procedure = make_procedure()
    report = services.sign_preliminary(drafted(procedure, actor=people.resident), actor=people.resident)
    assert (report.status, report.preliminary_by, status_of(procedure)) == (
        "preliminary", people.resident.user, "preliminary",
    )  # fmt: skip
    assert events("report_preliminary") == 1
    opened = services.open_report([procedure], actor=people.radiologist)
    saved = services.save_report(
        opened, sections={"impression": "Normal."}, revision=opened.revision, actor=people.radiologist
    )
    final = services.sign_report(saved, actor=people.radiologist)
    assert (final.status, final.signed_by, status_of(procedure)) == ("final", people.radiologist.user, "final")
    kinds = list(final.versions.values_list("number", "kind"))
    assert kinds == [(1, "preliminary"), (2, "final")]
    first, second = final.versions.all()
    assert (first.sections["impression"], second.sections["impression"]) == (SECTIONS["impression"], "Normal.")


def test_a_lone_radiologist_signs_straight_from_the_draft(people: Any) -> None:
    procedure = make_procedure()
    report = signed(procedure, actor=people.radiologist)
    version = report.versions.get()
    assert (version.kind, version.number, status_of(procedure)) == ("final", 1, "final")
    assert version.content_hash == version.compute_hash()
    assert version.identity["patient"]["identifier"].startswith("T")
    assert ReadingLock.objects.count() == 0
    assert events("report_finalized") == 1
    assert report.history.first().history_change_reason.startswith("Signed")
    assert AuditEvent.objects.filter(event_type="reporting.sign_report", outcome=Outcome.SUCCESS).count() == 1


def test_a_resident_does_not_sign_final(people: Any) -> None:
    report = drafted(actor=people.resident)
    with pytest.raises(NotPermitted):
        services.sign_report(report, actor=people.resident)
    assert ReportVersion.objects.count() == 0


def test_signing_without_an_impression_is_refused_and_changes_nothing(people: Any) -> None:
    report = drafted(actor=people.radiologist, impression="")
    with pytest.raises(ChecksFailed) as refusal:
        services.sign_report(report, actor=people.radiologist)
    assert list(refusal.value.errors) == ["impression"]
    assert (Report.objects.get().status, ReportVersion.objects.count(), events("report_finalized")) == ("partial", 0, 0)


def test_a_template_field_left_open_stops_signing(people: Any) -> None:
    report = drafted(actor=people.radiologist, findings="RV/LV ratio [ratio].")
    with pytest.raises(ChecksFailed):
        services.sign_report(report, actor=people.radiologist)


def test_the_wrong_side_stops_signing(people: Any) -> None:
    report = drafted(
        make_procedure(laterality="L"), actor=people.radiologist, impression="Fracture of the right wrist."
    )
    with pytest.raises(ChecksFailed) as refusal:
        services.sign_report(report, actor=people.radiologist)
    assert "impression" in refusal.value.errors


def test_a_patient_who_changed_stops_signing_until_it_is_opened_again(people: Any) -> None:
    procedure = make_procedure()
    report = drafted(procedure, actor=people.radiologist)
    patient = procedure.order.patient
    patient.family_name = "WANJIKU"
    patient.save()
    with pytest.raises(ChecksFailed):
        services.sign_report(report, actor=people.radiologist)
    services.open_report([procedure], actor=people.radiologist)
    assert services.sign_report(report, actor=people.radiologist).status == "final"


def test_signing_twice_is_refused_and_changes_nothing(people: Any) -> None:
    report = signed(actor=people.radiologist)
    with pytest.raises(Conflict) as refusal:
        services.sign_report(report, actor=people.other)
    assert "Wekesa" in refusal.value.detail
    assert ReportVersion.objects.count() == 1
    with pytest.raises(Conflict):
        services.save_report(report, sections={"findings": "x"}, revision=None, actor=people.radiologist)
    with pytest.raises(Conflict):
        services.open_report(report.procedures.all(), actor=people.radiologist)


def test_signing_what_another_holds_is_refused(people: Any) -> None:
    report = drafted(actor=people.radiologist)
    with pytest.raises(HeldByAnother):
        services.sign_report(report, actor=people.other)


def test_text_and_signature_can_come_together(people: Any) -> None:
    report = services.open_report([make_procedure()], actor=people.radiologist)
    report = services.sign_report(report, sections=SECTIONS, revision=0, actor=people.radiologist)
    assert report.versions.get().sections["impression"] == SECTIONS["impression"]
    with pytest.raises(Conflict):
        services.sign_report(report, sections={"impression": "Other"}, revision=0, actor=people.radiologist)


def test_discarding_a_draft_returns_the_exam(people: Any) -> None:
    procedure = make_procedure()
    report = drafted(procedure, actor=people.radiologist)
    services.discard_report(report, reason="Opened by mistake", actor=people.radiologist)
    assert (Report.objects.get().status, status_of(procedure)) == ("cancelled", "ready_to_read")
    assert services.open_report([procedure], actor=people.other).pk != report.pk


# --- after the signature


def test_an_addendum_adds_a_version_and_leaves_the_first(people: Any) -> None:
    procedure = make_procedure()
    report = signed(procedure, actor=people.radiologist)
    before = report.versions.get().content_hash
    report = services.add_addendum(report, text="Compared with outside CT.", actor=people.radiologist)
    first, second = report.versions.all()
    assert (report.status, status_of(procedure)) == ("appended", "amended")
    assert (second.kind, second.addendum, second.sections) == ("addendum", "Compared with outside CT.", first.sections)
    assert first.content_hash == before == first.compute_hash()
    assert OutboxEvent.objects.get(name="reporting.report_amended").payload["kind"] == "addendum"
    with pytest.raises(InvalidData):
        services.add_addendum(report, text="  ", actor=people.radiologist)


def test_a_correction_needs_a_reason_and_a_difference(people: Any) -> None:
    procedure = make_procedure()
    report = signed(procedure, actor=people.radiologist)
    with pytest.raises(InvalidData):
        services.correct_report(report, sections={"impression": "Other."}, reason="", actor=people.radiologist)
    with pytest.raises(InvalidData):
        services.correct_report(report, sections=SECTIONS, reason="Wrong size", actor=people.radiologist)
    report = services.correct_report(
        report, sections={"impression": "Nodule of 21 mm."}, reason="Wrong size", actor=people.radiologist
    )
    assert (report.status, status_of(procedure)) == ("corrected", "amended")
    assert [row.sections["impression"] for row in report.versions.all()] == [SECTIONS["impression"], "Nodule of 21 mm."]
    assert report.versions.last().reason == "Wrong size"
    again = services.correct_report(report, sections={"impression": "22 mm."}, reason="Again", actor=people.radiologist)
    assert again.versions.count() == 3


def test_a_retracted_report_gives_the_exam_back(people: Any) -> None:
    procedure = make_procedure()
    report = signed(procedure, actor=people.radiologist)
    services.retract_report(report, reason="Wrong patient", actor=people.radiologist)
    assert (Report.objects.get().status, status_of(procedure)) == ("entered-in-error", "ready_to_read")
    assert report.versions.last().kind == "retraction"
    assert services.open_report([procedure], actor=people.radiologist).pk != report.pk


@pytest.mark.parametrize("what", ["addendum", "correction"])
def test_a_draft_is_neither_appended_nor_corrected(people: Any, what: str) -> None:
    report = drafted(actor=people.radiologist)
    with pytest.raises(InvalidTransition):
        if what == "addendum":
            services.add_addendum(report, text="x", actor=people.radiologist)
        else:
            services.correct_report(report, sections={"impression": "x"}, reason="y", actor=people.radiologist)


# --- what was signed never changes


def test_the_application_role_cannot_change_or_delete_a_signed_version(people: Any) -> None:
    version = signed(actor=people.radiologist).versions.get()
    for statement in (
        "update reporting_reportversion set addendum = 'x' where id = %s",
        "delete from reporting_reportversion where id = %s",
    ):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, [version.pk])
    version.addendum = "x"
    with pytest.raises(DatabaseError), transaction.atomic():
        version.save()
    assert ReportVersion.objects.get(pk=version.pk).addendum == ""


def test_even_the_owner_is_stopped_by_the_trigger_in_every_facility(alpha: Any, beta: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "select n.nspname from pg_trigger t join pg_class c on c.oid = t.tgrelid"
            " join pg_namespace n on n.oid = c.relnamespace where t.tgname = 'signed_version_never_changes' order by 1"
        )
        assert [row[0] for row in cursor.fetchall()] == ["alpha", "beta"]


# --- the race


@pytest.mark.django_db(transaction=True)
def test_of_racing_signatures_one_wins_and_the_others_are_told(people: Any) -> None:
    from tests.factories.accounts import actor_with_roles

    signers = [actor_with_roles("radiologist", family_name=f"Racer{n}") for n in range(100)]
    report = drafted(actor=people.radiologist)
    ReadingLock.objects.all().delete()
    gate, answers = threading.Barrier(len(signers)), []

    def sign(actor: Any) -> None:
        try:
            with use_facility("alpha"):
                gate.wait(60)
                services.sign_report(Report.objects.get(pk=report.pk), actor=actor)
                answers.append("won")
        except Conflict as refusal:
            answers.append(refusal.detail)
        except psycopg.Error as error:
            answers.append(type(error).__name__)
        finally:
            connection.close()

    threads = [threading.Thread(target=sign, args=(actor,)) for actor in signers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    winner = Report.objects.get(pk=report.pk).signed_by.display_name
    assert answers.count("won") == 1
    assert [answer for answer in answers if answer != "won"] == [
        answer for answer in answers if winner in answer and answer != "won"
    ]
    assert (len(answers), ReportVersion.objects.count(), events("report_finalized")) == (len(signers), 1, 1)
