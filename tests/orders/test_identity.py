"""One person, one record: candidates, merges, the way back, and who may see whom."""

from __future__ import annotations

import pytest

from orders import selectors, services
from orders.models import Order, Patient, PatientIdentifier, PatientMerge
from ris.accounts.services.emergency import break_glass
from ris.core.errors import Conflict, InvalidData
from ris.events.models import OutboxEvent
from tests.factories.orders import SYSTEM, make_actor, make_order, make_patient, make_practitioner, make_user

pytestmark = pytest.mark.django_db


def found(**query):
    return services.find_duplicates(actor=SYSTEM, **query)


@pytest.fixture
def crowd(alpha):
    names = [("Mwangi", "Peter"), ("Kamau", "Grace"), ("Hassan", "Amina"), ("Otieno", "Brian"), ("Nguyễn", "Thị Hà")]
    return [make_patient(family_name=family, given_name=given, birth_date="1975-06-20") for family, given in names]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"family_name": "Achieng", "given_name": "Wanjiru"}, "Same name"),
        ({"family_name": "Wanjiru", "given_name": "Achieng"}, "Same name"),
        ({"family_name": "wanjiru achien"}, "Similar name"),
        ({"family_name": "Achiengh", "given_name": "Wanjiroo"}, "Similar name"),
        ({"family_name": "Achie", "birth_date": "1990-02-03"}, "Same date of birth"),
        ({"family_name": "Achieng", "birth_date": "1990-03-02"}, "Day and month of birth swapped"),
        ({"family_name": "Wanjiru", "given_name": "Acheing"}, "Similar name"),
        ({"family_name": "Wanjiru Grace", "given_name": "Achieng"}, "Similar name"),
        (
            {"family_name": "Achieng", "birth_date": "1992-01-01", "birth_date_is_estimated": True},
            "Age fits the estimate",
        ),
        ({"phone": "+254 722 000 111"}, "Same phone number"),
        ({"phone": "00111"}, "Phone number ends alike"),
        ({"identifiers": ["ni-7"]}, "Same identifier"),
        ({"identifiers": [{"value": "NI-7", "issuer": "KE"}]}, "Same identifier"),
    ],
)
def test_a_candidate_is_found_first_and_the_reason_is_said(crowd, query, reason):
    wanted = make_patient(
        family_name="Achieng",
        given_name="Wanjiru",
        birth_date="1990-02-03",
        phone="0722 000111",
        identifiers=[{"value": "NI-7", "issuer": "KE", "type": "NI"}],
    )
    best = found(**query)[0]
    assert best.patient == wanted
    assert reason in [str(words) for words in best.reasons]


def test_accents_do_not_hide_anybody(crowd):
    assert found(family_name="Nguyen", given_name="Ha")[0].patient.family_name == "Nguyễn"


@pytest.mark.parametrize(
    ("stored", "typed"),
    [("O'Brien", "o'brien"), ("Jon", "John"), ("王小明", "王小明"), ("Abdul-Rahman", "rahman"), ("Ødegård", "odegard")],
)
def test_names_of_all_kinds_are_found(crowd, stored, typed):
    wanted = make_patient(family_name=stored, given_name="")
    assert wanted in [candidate.patient for candidate in found(family_name=typed)]


@pytest.mark.parametrize("typed", ["O'Br\\ien", "a & b | c", "!x <-> y:*", "Otieno''", "\\\\\\", "(Mwangi"])
def test_signs_of_the_search_language_are_only_signs(crowd, typed):
    assert isinstance(found(family_name=typed), list)
    assert list(selectors.search_patients(typed, actor=SYSTEM)) is not None
    assert found(family_name="(Mwangi:")[0].patient.family_name == "Mwangi"


def test_nobody_alike_is_nobody(crowd):
    assert found(family_name="Zzyzx", given_name="Quorn") == []
    assert found() == []
    assert found(family_name="Mwangi", birth_date="not a date")[0].patient.family_name == "Mwangi"


def test_more_agreement_ranks_higher(alpha):
    far = make_patient(family_name="Achieng", given_name="Wanjiru", birth_date="1960-01-01")
    near = make_patient(family_name="Achieng", given_name="Wanjiru", birth_date="1990-02-03")
    ranked = found(family_name="Achieng", given_name="Wanjiru", birth_date="1990-02-03")
    assert [candidate.patient for candidate in ranked] == [near, far]
    assert ranked[0].score > ranked[1].score


def merged(**fields):
    survivor = make_patient(family_name="Achieng")
    loser = make_patient(
        family_name="Amber-Heron",
        identity_is_unverified=True,
        identifiers=[{"value": "T-1", "issuer": "TEMP", "type": "PT", "use": "temp"}],
    )
    order = make_order(patient=loser)
    services.add_alert(loser, kind="allergy", text="Iodine", actor=SYSTEM)
    loser.refresh_from_db()
    merge = services.merge_patients(survivor=survivor, loser=loser, reason="Same person", actor=SYSTEM, **fields)
    return survivor, loser, order, merge


def test_a_merge_moves_everything_and_tells(alpha):
    survivor, loser, order, merge = merged()
    order.refresh_from_db()
    loser.refresh_from_db()
    assert order.patient == survivor and loser.merged_into == survivor
    assert merge.moved["orders.order"] == [order.pk]
    assert survivor.alert_rows.get().text == "Iodine"
    assert PatientIdentifier.objects.get(value="T-1").use == "old"
    assert services.resolve_patient(identifiers=[("T-1", "TEMP")], actor=SYSTEM) == survivor
    assert survivor.primary_identifier.use == "usual"
    event = OutboxEvent.objects.get(name="orders.patients_merged").payload
    assert event["loser"] == str(loser.uuid)
    assert event["procedures"] == [str(order.procedures.get().uuid)]
    assert order.history.first().history_change_reason.startswith("Same person")


def test_repeating_a_merge_changes_nothing(alpha):
    survivor, loser, __, merge = merged()
    again = services.merge_patients(survivor=survivor, loser=loser, reason="Same person", actor=SYSTEM)
    assert again == merge and PatientMerge.objects.count() == 1
    assert OutboxEvent.objects.filter(name="orders.patients_merged").count() == 1


def test_self_merge_circle_and_reversal_are_refused(alpha):
    survivor, loser, __, __ = merged()
    third = make_patient()
    merge = services.merge_patients
    with pytest.raises(InvalidData):
        merge(survivor=third, loser=third, reason="x", actor=SYSTEM)
    with pytest.raises(Conflict):
        merge(survivor=loser, loser=survivor, reason="x", actor=SYSTEM)
    with pytest.raises(Conflict):
        merge(survivor=third, loser=loser, reason="x", actor=SYSTEM)
    merge(survivor=third, loser=survivor, reason="x", actor=SYSTEM)
    with pytest.raises(Conflict):
        merge(survivor=loser, loser=third, reason="x", actor=SYSTEM)
    assert services.resolve_patient(identifiers=[("T-1", None)], actor=SYSTEM) == third


def test_a_merged_record_takes_no_changes_and_no_orders(alpha):
    __, loser, __, __ = merged()
    loser.refresh_from_db()
    with pytest.raises(Conflict):
        services.update_patient(loser, given_name="X", actor=SYSTEM)
    with pytest.raises(Conflict):
        make_order(patient=loser)


def test_unmerge_restores_every_row_and_lists_what_came_after(alpha):
    survivor, loser, order, merge = merged()
    survivor.refresh_from_db()
    after = make_order(patient=survivor)
    services.unmerge_patients(merge, actor=SYSTEM)
    services.unmerge_patients(merge, actor=SYSTEM)
    for row in (order, loser, after, merge):
        row.refresh_from_db()
    assert order.patient == loser and loser.merged_into is None and after.patient == survivor
    assert loser.alert_rows.count() == 1 and not survivor.alert_rows.exists()
    assert PatientIdentifier.objects.get(value="T-1").use == "temp"
    assert selectors.rows_after_merge(merge)["orders"] == [after]
    assert OutboxEvent.objects.filter(name="orders.patients_unmerged").count() == 1
    services.move_order(after, patient=loser, reason="It was hers", actor=SYSTEM)
    assert Order.objects.filter(patient=loser).count() == 2


def test_identifiers_of_two_people_are_a_conflict(alpha):
    make_patient(identifiers=[{"value": "A", "issuer": "X", "type": "NI"}])
    make_patient(identifiers=[{"value": "B", "issuer": "X", "type": "NI"}])
    with pytest.raises(Conflict):
        services.resolve_patient(identifiers=[("A", "X"), ("B", "X")], actor=SYSTEM)
    assert services.resolve_patient(identifiers=[("C", "X")], actor=SYSTEM) is None


# --- who may see whom


def test_a_restricted_patient_needs_a_grant_or_break_glass(alpha):
    patient = make_patient(is_restricted=True)
    clerk, other = make_actor("clerk"), make_actor("clerk")
    seen = lambda actor: Patient.objects.visible_to(actor).filter(pk=patient.pk).exists()  # noqa: E731
    assert not seen(clerk) and not seen(make_actor("qa_lead"))
    services.grant_access(patient, user=clerk.user, actor=make_actor("qa_lead"))
    assert seen(clerk) and not seen(other)
    assert selectors.is_restricted_for(patient.uuid, actor=other) == patient
    break_glass(patient=patient.uuid, reason="Collapsed in the corridor", actor=other)
    assert seen(other)
    assert found(family_name=patient.family_name) and not services.find_duplicates(
        family_name=patient.family_name, actor=make_actor("clerk")
    )


def test_a_referring_physician_sees_only_their_own(alpha):
    user = make_user("referring_physician")
    own = make_order(requester=make_practitioner(user))
    copied = make_order(copies_to=[user.practitioner])
    other = make_order()
    from ris.core.actor import Actor

    visible = set(Patient.objects.visible_to(Actor("web", user)))
    assert visible == {own.patient, copied.patient} and other.patient not in visible


def test_sites_bound_a_person_s_view(alpha):
    from ris.accounts.models import Site

    north, south = (Site.objects.create(code=code, name=code) for code in ("north", "south"))
    actor = make_actor("clerk")
    actor.user.sites.add(north)
    here, there, anywhere = make_order(site=north), make_order(site=south), make_order()
    assert set(Order.objects.visible_to(actor)) == {here, anywhere}
    assert there not in Order.objects.visible_to(actor)


def test_an_it_admin_sees_no_patient(alpha):
    make_patient()
    assert not Patient.objects.visible_to(make_actor("it_admin")).exists()
