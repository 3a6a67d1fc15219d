"""Nobody knows who it is: one click, an alias, and later a name or the record that was known all along."""

from __future__ import annotations

import pytest

from orders import services
from orders.models import Patient, PatientMerge
from ris.accounts.selectors import facility_settings
from ris.audit.models import AuditEvent
from ris.core.errors import Conflict, InvalidData, NotPermitted
from ris.events.models import OutboxEvent
from tests.factories.orders import SYSTEM, make_actor, make_order, make_patient

pytestmark = pytest.mark.django_db


def emergency(**fields) -> Patient:
    return services.register_emergency(actor=SYSTEM, **fields)


def test_one_click_gives_an_alias_a_temporary_number_and_a_warning(alpha):
    clerk = make_actor("clerk")
    patient = services.register_emergency(actor=clerk)
    assert (patient.family_name, patient.sex, patient.birth_date) == ("EMERG", "U", None)
    assert patient.given_name and patient.identity_is_unverified
    number = patient.identifiers.get()
    assert (number.type, number.use) == ("PT", "temp") and number.value.startswith("TMP-20")
    assert [words for _tone, _icon, words in patient.alerts] == ["Identity not confirmed"]
    assert AuditEvent.objects.get(event_type="orders.register_patient").user == clerk.user.uuid
    assert OutboxEvent.objects.filter(name="orders.patient_registered").count() == 1


def test_an_age_is_an_estimate(alpha):
    patient = emergency(sex="M", estimated_age=40)
    assert (patient.age, patient.birth_date_is_estimated, patient.sex) == (40, True, "M")
    with pytest.raises(InvalidData):
        emergency(estimated_age=200)
    with pytest.raises(InvalidData):
        emergency(sex="X")


def test_no_two_bear_one_alias_and_numbers_count_up(alpha):
    settings = facility_settings()
    settings.emergency_words = ["Amber-Heron", "Blue-Crane"]
    settings.save_as(SYSTEM, "test")
    people = [emergency() for _ in range(4)]
    names = [patient.given_name for patient in people]
    assert set(names[:2]) == {"Amber-Heron", "Blue-Crane"}
    assert len(set(names)) == 4 and all(name.startswith(("Amber-Heron", "Blue-Crane")) for name in names)
    assert [patient.identifiers.get().value[-2:] for patient in people] == ["01", "02", "03", "04"]


def test_an_alias_rests_after_the_patient_was_identified(alpha):
    settings = facility_settings()
    settings.emergency_words = ["Amber-Heron"]
    settings.save_as(SYSTEM, "test")
    services.identify_patient(emergency(), family_name="Otieno", reason="Wife came", actor=SYSTEM)
    assert emergency().given_name == "Amber-Heron-2"


def test_words_that_no_scanner_could_show_are_refused(alpha):
    settings = facility_settings()
    settings.emergency_words = ["Amber^Heron"]
    with pytest.raises(InvalidData) as refusal:
        settings.save_as(SYSTEM, "test")
    assert list(refusal.value.errors) == ["emergency_words"]


def test_who_may_not_register_may_not_in_an_emergency(alpha):
    with pytest.raises(NotPermitted):
        services.register_emergency(actor=make_actor("radiologist"))
    assert Patient.objects.count() == 0


def test_a_name_takes_the_place_of_the_alias(alpha):
    patient = emergency(sex="M", estimated_age=40)
    order = make_order(patient=patient)
    services.identify_patient(
        patient,
        family_name="Otieno",
        birth_date="1985-05-17",
        birth_date_is_estimated=False,
        reason="National identity card",
        identifiers=[{"value": "12345678", "issuer": "KE", "type": "NI"}],
        actor=SYSTEM,
    )
    patient.refresh_from_db()
    assert (patient.display_name, patient.identity_is_unverified) == ("OTIENO", False)
    assert not patient.birth_date_is_estimated and patient.sex == "M"
    kinds = {row.type: row.use for row in patient.identifiers.all()}
    assert kinds == {"PT": "old", "NI": "usual", "MR": "usual"}
    assert patient.primary_identifier.type == "MR"
    event = OutboxEvent.objects.get(name="orders.patient_identified")
    assert event.payload["procedures"] == [str(order.procedures.get().uuid)]
    assert patient.history.first().history_change_reason.startswith("National identity card")
    with pytest.raises(Conflict):
        services.identify_patient(patient, family_name="Mwangi", reason="again", actor=SYSTEM)


def test_identifying_needs_a_name_and_a_reason(alpha):
    patient = emergency()
    for fields in ({"family_name": "", "reason": "x"}, {"family_name": "Otieno", "reason": ""}):
        with pytest.raises(InvalidData):
            services.identify_patient(patient, actor=SYSTEM, **fields)
    patient.refresh_from_db()
    assert patient.family_name == "EMERG" and patient.identity_is_unverified


def test_the_alias_turns_out_to_be_somebody_known(alpha):
    known = make_patient(family_name="Achieng", birth_date="1990-02-03")
    alias = emergency()
    order = make_order(patient=alias)
    number = alias.identifiers.get().value
    services.merge_patients(survivor=known, loser=alias, reason="Sister recognised her", actor=SYSTEM)
    order.refresh_from_db()
    known.refresh_from_db()
    assert order.patient == known and not known.identity_is_unverified
    assert services.resolve_patient(identifiers=[(number, None)], actor=SYSTEM) == known
    services.unmerge_patients(PatientMerge.objects.get(), reason="Not she", actor=SYSTEM)
    order.refresh_from_db()
    alias.refresh_from_db()
    assert order.patient == alias and alias.identity_is_unverified and alias.primary_identifier.use == "temp"
