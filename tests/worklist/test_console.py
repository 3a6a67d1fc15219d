"""What the technologist writes down: services, their history, their events, and what closes the papers."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from orders.models import Charge, PatientAlert, PriceItem, RequestedProcedure
from orders.services import ProcedureRequest
from ris.accounts.selectors import facility_settings
from ris.core.actor import SYSTEM
from ris.core.errors import AlreadyExists, InvalidData, InvalidTransition, NotPermitted
from ris.events.models import OutboxEvent
from ris.notifications.models import Notification
from tests.factories.orders import make_actor, make_catalogue, make_patient, make_procedure, make_user
from tests.factories.worklist import STORE, booked, ct_procedure, series_of, started, step_of, stored
from worklist import services
from worklist.codes import REJECT_REASONS
from worklist.models import ExceptionItem, Product, Questionnaire
from worklist.services.completion import missing_of
from worklist.services.screening import open_questions, screening_states
from worklist.services.time_out import checks_needed, standing_time_out

pytestmark = pytest.mark.usefixtures("alpha")


@pytest.fixture
def technologist():
    return make_actor("technologist")


def fresh(row):
    row.refresh_from_db()
    return row


def events(name: str) -> int:
    return OutboxEvent.objects.filter(name=f"worklist.{name}").count()


def confirmed(procedure: RequestedProcedure, **changes):
    return {"identifiers": ["name", "birth_date"], "checks": checks_needed(procedure)} | changes


# --- time-out


@pytest.mark.parametrize(
    ("catalogue", "patient", "wanted"),
    [
        ({}, {"sex": "M"}, ["exam", "allergy", "entry"]),
        ({}, {"sex": "F"}, ["exam", "pregnancy", "allergy", "entry"]),
        ({}, {"sex": "F", "birth_date": "1940-01-01"}, ["exam", "allergy", "entry"]),
        ({"has_laterality": True}, {"sex": "M"}, ["exam", "side", "allergy", "entry"]),
        (
            {"uses_contrast": True, "needs_consent": True},
            {"sex": "M"},
            ["exam", "allergy", "renal", "consent", "entry"],
        ),
    ],
)
def test_the_time_out_asks_what_the_exam_needs(catalogue, patient, wanted, technologist):
    row = make_catalogue(f"T{len(wanted)}{patient['sex']}", modality="CT", **catalogue)
    person = make_patient(**{"birth_date": "1990-01-01", **patient})
    side = "L" if catalogue.get("has_laterality") else ""
    procedure = make_procedure(codes=[ProcedureRequest(row.code, laterality=side)], patient=person)
    assert checks_needed(procedure) == wanted
    for key in wanted:
        with pytest.raises(InvalidData):
            services.record_time_out(procedure, **confirmed(procedure, checks=set(wanted) - {key}), actor=technologist)
    row = services.record_time_out(procedure, **confirmed(procedure), actor=technologist)
    assert (row.done_by, row.history.count(), events("time_out_done")) == (technologist.user, 1, 1)


def test_a_scanned_wristband_is_this_patients_or_refuses_it_all(technologist):
    procedure = ct_procedure()
    number = procedure.order.patient.primary_identifier
    other = ct_procedure(patient=make_patient(family_name="Otieno")).order.patient.primary_identifier
    with pytest.raises(InvalidData) as refusal:
        services.record_time_out(procedure, **confirmed(procedure), wristband=other.value, actor=technologist)
    assert "another patient" in refusal.value.detail and not procedure.time_outs.exists()
    assert other.value not in f"{refusal.value.detail} {refusal.value.found} {refusal.value.errors}"
    code = f"{number.value.lower()}^^^{number.issuer}"
    row = services.record_time_out(
        procedure, **confirmed(procedure, identifiers=["name"]), wristband=code, actor=technologist
    )
    assert (row.identifiers, row.is_wristband_verified) == (["name", "wristband"], True)


def test_a_time_out_lapses_when_the_side_changes(technologist):
    catalogue = make_catalogue("KNEE", modality="DX", has_laterality=True)
    procedure = make_procedure(codes=[ProcedureRequest(catalogue.code, laterality="L")])
    services.record_time_out(procedure, **confirmed(procedure), actor=technologist)
    assert standing_time_out(procedure) is not None
    procedure.laterality = "R"
    procedure.save_as(SYSTEM, "Other side")
    assert standing_time_out(fresh(procedure)) is None
    with pytest.raises(InvalidTransition) as refusal:
        services.start_exam(procedure, needs_time_out=True, actor=technologist)
    assert "have changed" in refusal.value.found


def test_a_facility_may_do_without_the_time_out(technologist):
    procedure = booked().procedure
    settings = facility_settings()
    settings.require_time_out = False
    settings.save_as(SYSTEM, "Film rooms")
    assert services.start_exam(procedure, needs_time_out=True, actor=technologist).status == "in_progress"
    assert "time_out" not in missing_of(procedure)


# --- safety questions


def pregnancy() -> Questionnaire:
    services.ensure_questionnaires()
    return Questionnaire.objects.get(name="Pregnancy", is_active=True)


BLOCKING = {"pregnant": "yes", "breast_feeding": "no"}


def test_who_may_lift_a_block_is_the_questionnaires_word(technologist):
    form = pregnancy()
    procedure = booked(ct_procedure(patient=make_patient(sex="F", birth_date="1990-01-01"))).procedure
    screening = services.record_screening(procedure, questionnaire=form, answers=BLOCKING, actor=technologist)
    with pytest.raises(NotPermitted):
        services.allow_screening(screening, reason="Vital", actor=technologist)
    form.override_by = "nobody"
    form.save_as(SYSTEM, "Strict")
    for service, actor in (
        (services.override_screening, make_actor("radiologist")),
        (services.allow_screening, technologist),
    ):
        with pytest.raises(NotPermitted):
            service(fresh(screening), reason="Vital", actor=actor)
    form.override_by = "technologist"
    form.save_as(SYSTEM, "Small hospital")
    assert step_of(procedure).is_blocked and not step_of(procedure).is_on_worklist
    services.allow_screening(fresh(screening), reason="Vital, asked the doctor", actor=technologist)
    step = step_of(procedure)
    assert (step.is_blocked, step.is_on_worklist, events("screening_overridden")) == (False, True, 1)
    assert fresh(screening).override_reason == "Vital, asked the doctor"


def test_a_blocked_exam_that_a_scanner_starts_all_the_same_is_accepted_and_alarmed(technologist):
    form = pregnancy()
    procedure = booked(ct_procedure(patient=make_patient(sex="F", birth_date="1990-01-01"))).procedure
    services.record_screening(procedure, questionnaire=form, answers=BLOCKING, actor=technologist)
    started(procedure)
    assert fresh(procedure).status == "in_progress"
    assert ExceptionItem.objects.get().kind == "blocked_started" and missing_of(procedure)[:2] == ["time_out", "block"]


def test_a_new_edition_is_asked_and_earlier_answers_count(technologist):
    manager = make_actor("it_admin")
    form = pregnancy()
    answered, unasked = (ct_procedure(patient=make_patient(sex="F", birth_date="1990-01-01")) for _ in "ab")
    services.record_screening(answered, questionnaire=form, answers=BLOCKING, actor=technologist)
    edition = services.open_edition(form, actor=manager)
    assert (edition.edition, edition.is_active, edition.questions.count()) == (2, False, form.questions.count())
    assert edition.assignments.count() == form.assignments.count()
    with pytest.raises(InvalidTransition):
        services.open_edition(form, actor=manager)
    services.publish_edition(edition, actor=manager)
    assert list(Questionnaire.objects.filter(name="Pregnancy", is_active=True)) == [edition]
    assert [state.questionnaire for state in screening_states(unasked)] == [edition]
    assert [(state.questionnaire, state.blocks) for state in screening_states(answered)] == [(form, True)]
    assert open_questions([answered, unasked]) == {answered.pk: [], unasked.pk: [edition]}
    with pytest.raises(NotPermitted):
        services.publish_edition(form, actor=technologist)


@pytest.mark.parametrize(("age", "effect"), [(3, "note"), (40, "warn")])
def test_an_old_value_warns(age, effect, technologist):
    services.ensure_questionnaires()
    form = Questionnaire.objects.get(name="Kidney function")
    day = timezone.localdate() - timedelta(days=age)
    answers = {"egfr": "88", "egfr_date": day.isoformat(), "kidney_disease": "no"}
    row = services.record_screening(ct_procedure(), questionnaire=form, answers=answers, actor=technologist)
    assert row.effect == effect
    for wrong in ("soon", (timezone.localdate() + timedelta(days=2)).isoformat()):
        with pytest.raises(InvalidData):
            services.record_screening(
                ct_procedure(), questionnaire=form, answers=answers | {"egfr_date": wrong}, actor=technologist
            )


# --- used


def iohexol(**fields) -> Product:
    values = {"code": "IOX350", "name": "Iohexol 350", "gtin": "4012345678901", "usual_quantity": 70}
    return services.save_product(None, **values | {"route": "47625008"} | fields, actor=SYSTEM)


def test_a_product_is_known_by_the_bars_of_its_pack(technologist):
    product = iohexol()
    assert product.gtin == "04012345678901"
    with pytest.raises(InvalidData):
        iohexol(code="X", gtin="4012345678902")
    with pytest.raises(AlreadyExists):
        iohexol(code="X", gtin="04012345678901")
    with pytest.raises(NotPermitted):
        services.save_product(None, code="Y", name="Y", actor=make_actor("clerk"))


def test_a_product_says_what_is_not_typed(technologist):
    procedure, product = ct_procedure(), iohexol()
    nurse = make_user("technologist", given_name="Faith")
    use = services.record_consumable(
        procedure, product=product, lot="IX2207K", rate="4,0", given_by=nurse, actor=technologist
    )
    assert (use.label, use.code, str(use.quantity), use.unit) == ("Iohexol 350", "IOX350", "70.00", "mL")
    assert (use.route, use.get_route_display(), str(use.rate), use.given_by) == (
        "47625008",
        "Into a vein",
        "4.0",
        nurse,
    )
    assert events("consumable_used") == 1
    payload = OutboxEvent.objects.get(name="worklist.consumable_used").payload
    assert "Iohexol" not in str(payload) and str(product.uuid) in str(payload)
    by_word = services.record_consumable(procedure, label="Barium", quantity=200, route="po", actor=technologist)
    assert by_word.route == "26643006"
    with pytest.raises(InvalidData) as refusal:
        services.record_consumable(procedure, label="x", quantity=1, route="by ear", kind="food", actor=technologist)
    assert set(refusal.value.errors) == {"route", "kind"}


def test_an_expired_pack_is_recorded_and_flagged(technologist):
    yesterday = timezone.localdate() - timedelta(days=1)
    use = services.record_consumable(
        ct_procedure(), label="Iohexol", quantity=70, expires_on=yesterday, actor=technologist
    )
    assert use.was_expired


def test_a_correction_replaces_the_row_and_its_charge(technologist):
    PriceItem.objects.create(
        code="IOX", label="Iohexol", kind="consumable", consumable_code="IOX350", unit="mL", amount=10
    )
    procedure = ct_procedure()
    wrong = services.record_consumable(procedure, label="Iohexol", code="IOX350", quantity=70, actor=technologist)
    right = services.correct_consumable(wrong, quantity="90", lot="L2", actor=technologist)
    assert (right.corrects, str(right.quantity), right.lot, right.code) == (wrong, "90.00", "L2", "IOX350")
    assert fresh(wrong).withdrawn_at and right.history.count() == 2
    assert sorted(Charge.objects.values_list("status", "quantity")) == [("aborted", 70), ("planned", 90)]
    with pytest.raises(InvalidTransition):
        services.correct_consumable(wrong, quantity=1, actor=technologist)


# --- exposures and rejects


def test_exposures_are_written_corrected_and_crossed_out(technologist):
    procedure = booked().procedure
    row = services.record_exposure(procedure, view="AP", kvp="70", mas="3,2", dap="0.45", count=2, actor=technologist)
    assert (str(row.kvp), str(row.mas), str(row.dap), row.station.ae_title) == ("70.0", "3.20", "0.450", "CT1")
    services.change_exposure(row, kvp="72", actor=technologist)
    assert str(fresh(row).kvp) == "72.0" and row.history.count() == 2 and row.version == 2
    services.withdraw_exposure(row, actor=technologist)
    assert fresh(row).withdrawn_at and events("exposure_recorded") == 1
    with pytest.raises(InvalidData) as refusal:
        services.record_exposure(procedure, kvp="-1", mas="much", count=0, laterality="Q", actor=technologist)
    assert set(refusal.value.errors) == {"kvp", "mas", "count", "laterality"}


def test_every_reason_of_cid_7011_and_who_made_the_image(technologist):
    procedure = ct_procedure()
    for code in REJECT_REASONS:
        row = services.record_reject(procedure, reason_code=code, is_repeated=False, actor=technologist)
        assert (row.made_by, row.is_repeated) == (technologist.user, False)
    assert procedure.rejects.count() == 16
    services.withdraw_reject(row, actor=technologist)
    assert fresh(row).withdrawn_at and row.history.count() == 2


# --- reactions


def test_a_reaction_warns_from_then_on_and_is_told(technologist, dispatch):
    radiologist = make_user("radiologist")
    procedure = ct_procedure()
    use = services.record_consumable(procedure, label="Iohexol 350", quantity=70, actor=technologist)
    row = services.record_adverse_event(
        procedure,
        kind="allergic",
        severity="moderate",
        description="Hives, face swollen",
        treatment="Chlorphenamine 10 mg",
        outcome="treated",
        consumable=use,
        keep_as_allergy=True,
        actor=technologist,
    )
    alert = PatientAlert.objects.get(patient=procedure.order.patient)
    assert (alert.kind, alert.text) == ("allergy", "Iohexol 350: moderate reaction")
    dispatch()
    told = Notification.objects.get(recipient=radiologist, template="worklist.adverse_event")
    assert "Hives" not in str(told.context) and procedure.accession_number in str(told.context)
    services.change_adverse_event(row, severity="severe", outcome="admitted", actor=technologist)
    assert (fresh(row).severity, row.outcome, row.history.count()) == ("severe", "admitted", 2)
    services.withdraw_adverse_event(row, actor=technologist)
    assert fresh(row).withdrawn_at


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"kind": "curse"}, {"kind"}),
        ({"description": " "}, {"description"}),
        ({"severity": "severe"}, {"treatment"}),
        ({"severity": "bad", "outcome": "fled"}, {"severity", "outcome"}),
    ],
)
def test_a_reaction_says_what_was_seen_and_done(technologist, changes, fields):
    values = {"kind": "physiologic", "severity": "mild", "description": "Nausea"} | changes
    with pytest.raises(InvalidData) as refusal:
        services.record_adverse_event(ct_procedure(), **values, actor=technologist)
    assert set(refusal.value.errors) == fields
    elsewhere = services.record_consumable(ct_procedure(), label="x", quantity=1, actor=technologist)
    with pytest.raises(InvalidData):
        services.record_adverse_event(
            ct_procedure(), kind="allergic", severity="mild", description="x", consumable=elsewhere, actor=technologist
        )


# --- completion


def test_what_is_missing_is_named_and_explained(technologist):
    catalogue = make_catalogue("CTC", modality="CT", uses_contrast=True)
    procedure = booked(make_procedure(codes=[catalogue.code], patient=make_patient(sex="M"))).procedure
    services.start_exam(procedure, actor=technologist)
    assert missing_of(procedure) == ["time_out", "contrast", "images"]
    services.record_consumable(procedure, label="Iohexol", quantity=70, actor=technologist)
    assert missing_of(procedure) == ["time_out", "lot", "images"]
    with pytest.raises(InvalidTransition) as refusal:
        services.complete_exam(procedure, asks_for_all=True, actor=technologist)
    assert refusal.value.found == "Missing: Time-out, Lot of the contrast, Images."
    services.complete_exam(procedure, asks_for_all=True, explanation="Films, box torn", actor=technologist)
    row = procedure.completions.get()
    assert (row.missing, row.explanation, row.recorded_by) == (
        ["time_out", "lot", "images"],
        "Films, box torn",
        technologist.user,
    )


def test_counts_that_differ_are_shown(technologist):
    procedure = booked().procedure
    services.record_time_out(procedure, **confirmed(procedure), actor=technologist)
    item = stored(procedure)
    step = started(procedure, series=series_of(item.sop_instance_uid))
    services.index_instance(item, actor=STORE)
    assert step.instance_count == 1 and missing_of(procedure) == []
    services.count_images(procedure, count=3, actor=technologist)
    assert missing_of(procedure) == ["count"]
    services.count_images(procedure, count=1, actor=technologist)
    assert missing_of(procedure) == [] and procedure.image_counts.count() == 2
    with pytest.raises(InvalidData):
        services.count_images(procedure, count=-1, actor=technologist)


def test_the_papers_close_with_the_signature_but_reactions_may_come_late(technologist):
    procedure = booked().procedure
    services.start_exam(procedure, actor=technologist)
    use = services.record_consumable(procedure, label="Iohexol", quantity=70, actor=technologist)
    services.complete_exam(procedure, actor=technologist)
    services.write_note(procedure, text="Completed, not yet read", actor=technologist)
    RequestedProcedure.objects.filter(pk=procedure.pk).update(status="final")
    for attempt in (
        lambda: services.write_note(procedure, text="Late", actor=technologist),
        lambda: services.withdraw_consumable(use, actor=technologist),
        lambda: services.correct_consumable(use, quantity=1, actor=technologist),
        lambda: services.record_exposure(procedure, actor=technologist),
        lambda: services.record_reject(procedure, reason_code="111209", actor=technologist),
        lambda: services.count_images(procedure, count=1, actor=technologist),
    ):
        with pytest.raises(InvalidTransition) as refusal:
            attempt()
        assert refusal.value.todo
    services.record_adverse_event(
        procedure, kind="allergic", severity="mild", description="Rash next day", actor=technologist
    )


def test_a_note_says_which_protocol_and_why_it_changed(technologist):
    procedure = ct_procedure()
    note = services.write_note(
        procedure,
        is_as_protocolled=False,
        protocol_used="CT head low dose",
        deviation_reason="patient",
        actor=technologist,
    )
    assert (note.protocol_used, note.deviation_reason, note.deviation) == (
        "CT head low dose",
        "patient",
        "The patient's condition",
    )
    with pytest.raises(InvalidData):
        services.write_note(procedure, is_as_protocolled=False, deviation_reason="other", actor=technologist)
    again = services.write_note(procedure, is_as_protocolled=True, deviation_reason="patient", actor=technologist)
    assert (again.deviation_reason, again.deviation) == ("", "")
