"""Packs, sheets and periods: numbers that nobody else gets, what becomes of each sheet, and when it is over."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from orders import services
from orders.downtime_lists import closing_list, form_of_number, running_downtime
from orders.models import AccessionNumber, DowntimeForm, DowntimePack, FormStatus, PeriodStatus
from orders.services import (
    change_downtime_plan,
    close_downtime,
    declare_downtime,
    downtime_plan,
    end_downtime,
    issue_downtime_pack,
    make_downtime_pack,
    restore_downtime_form,
    resume_downtime,
    return_blank_form,
    return_blank_forms,
    void_downtime_form,
    void_downtime_forms,
)
from orders.services.downtime import ensure_night_pack
from ris.accounts.models import Site
from ris.audit.models import AuditEvent
from ris.core.errors import Conflict, InvalidData, InvalidTransition, NotPermitted
from ris.core.ids import is_valid_uid
from tests.factories.orders import SYSTEM, make_actor, make_catalogue, make_patient

pytestmark = pytest.mark.django_db


@pytest.fixture
def pack(alpha):
    return make_downtime_pack(count=4, room="CT 1", actor=SYSTEM)


def form(pack, number=1):
    return pack.forms.select_related("pack", "period").get(number=number)


def test_a_pack_reserves_numbers_and_uids_that_nobody_else_gets(pack):
    forms = list(pack.forms.all())
    numbers = [row.accession_number for row in forms]
    assert len(set(numbers)) == len({row.study_instance_uid for row in forms}) == 4
    assert all(is_valid_uid(row.study_instance_uid) for row in forms)
    reserved = AccessionNumber.objects.filter(value__in=numbers)
    assert {row.reserved_for for row in reserved} == {f"downtime {pack.code}"}
    assert {row.order_id for row in reserved} == {None}
    minted = services.create_order(
        patient=make_patient(), procedures=[services.ProcedureRequest(make_catalogue().code)], actor=SYSTEM
    )
    assert minted.procedures.get().accession_number not in numbers


def test_a_pack_has_as_many_forms_as_the_plan_says(alpha):
    assert make_downtime_pack(actor=SYSTEM).forms.count() == 50
    change_downtime_plan(forms_per_pack=3, language="sw", actor=SYSTEM)
    pack = make_downtime_pack(actor=SYSTEM)
    assert (pack.forms.count(), pack.language) == (3, "sw")


@pytest.mark.parametrize(
    ("values", "field"), [({"count": 0}, "count"), ({"count": 201}, "count"), ({"language": "fr"}, "language")]
)
def test_an_impossible_pack_is_refused_and_leaves_nothing(alpha, values, field):
    with pytest.raises(InvalidData) as refusal:
        make_downtime_pack(actor=SYSTEM, **values)
    assert field in refusal.value.errors
    assert not DowntimePack.objects.exists()
    assert not AccessionNumber.objects.exclude(reserved_for="").exists()


def test_an_impossible_plan_is_refused_field_by_field(alpha):
    with pytest.raises(InvalidData) as refusal:
        change_downtime_plan(forms_per_pack=0, night_hour=24, language="fr", pk=7, actor=SYSTEM)
    assert set(refusal.value.errors) == {"forms_per_pack", "night_hour", "language", "pk"}
    assert downtime_plan().forms_per_pack == 50


@pytest.mark.django_db(transaction=True)
def test_packs_made_at_the_same_time_share_no_number(alpha):
    """8 threads, 10 forms each, while others order."""
    errors: list[Exception] = []
    make_catalogue("CTHEAD", name="CT head", modality="CT")
    patient = make_patient()

    def work(number: int) -> None:
        try:
            connection.set_tenant(alpha)
            if number % 4 == 3:
                services.create_order(patient=patient, procedures=[services.ProcedureRequest("CTHEAD")], actor=SYSTEM)
            else:
                make_downtime_pack(count=10, actor=SYSTEM)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    numbers = list(DowntimeForm.objects.values_list("accession_number", flat=True))
    packs = list(DowntimePack.objects.values_list("number", flat=True))
    assert (len(numbers), len(set(numbers)), len(set(packs))) == (60, 60, 6)
    assert AccessionNumber.objects.count() == 62


def test_a_void_form_says_why_and_its_number_is_never_used(pack):
    row = void_downtime_form(form(pack), reason="Coffee", actor=SYSTEM)
    assert (row.status, row.void_reason) == (FormStatus.VOID, "Coffee")
    assert row.history.first().history_change_reason == "Coffee [system:system]"
    again = void_downtime_form(form(pack), reason="Tea", actor=SYSTEM)
    assert (again.void_reason, again.version) == ("Coffee", row.version)
    with pytest.raises(InvalidData):
        void_downtime_form(form(pack, 2), reason=" ", actor=SYSTEM)
    with pytest.raises(IntegrityError), transaction.atomic():
        DowntimeForm.objects.filter(pk=row.pk).update(void_reason="")


def test_a_void_form_that_turns_up_goes_back_to_where_it_was(pack):
    period = declare_downtime(reason="Power", packs=[pack], actor=SYSTEM)
    void_downtime_form(form(pack), reason="Lost", actor=SYSTEM)
    row = restore_downtime_form(form(pack), actor=SYSTEM)
    assert (row.status, row.period, row.void_reason) == (FormStatus.ISSUED, period, "")
    with pytest.raises(InvalidTransition):
        restore_downtime_form(form(pack), actor=SYSTEM)
    for number in (1, 2, 3, 4):
        void_downtime_form(form(pack, number), reason="Lost", actor=SYSTEM)
    end_downtime(period, actor=SYSTEM)
    close_downtime(period, actor=SYSTEM)
    row = restore_downtime_form(form(pack), actor=SYSTEM)
    assert (row.status, row.period) == (FormStatus.PRINTED, None)


def test_several_forms_are_made_void_or_put_back_at_once(pack):
    period = declare_downtime(reason="Power", packs=[pack], actor=SYSTEM)
    assert len(void_downtime_forms(pack, first=1, last=2, reason="Wet", actor=SYSTEM)) == 2
    assert len(return_blank_forms(pack, first=1, last=4, actor=SYSTEM)) == 2
    statuses = list(pack.forms.order_by("number").values_list("status", flat=True))
    assert statuses == ["void", "void", "printed", "printed"]
    period.refresh_from_db()
    assert period.blank_count == 2
    with pytest.raises(InvalidData):
        void_downtime_forms(pack, first=3, last=9, reason="Wet", actor=SYSTEM)


def test_a_form_goes_back_blank_only_when_it_was_out(pack):
    assert return_blank_form(form(pack), actor=SYSTEM).status == FormStatus.PRINTED
    void_downtime_form(form(pack), reason="Wet", actor=SYSTEM)
    with pytest.raises(InvalidTransition):
        return_blank_form(form(pack), actor=SYSTEM)


# --- the time it was down


def test_a_downtime_is_declared_once_per_site_since_a_time_that_has_been(alpha, pack):
    site = Site.objects.create(code="north", name="North")
    begun = timezone.now() - timedelta(hours=3)
    period = declare_downtime(reason="Power", started_at=begun, packs=[pack], actor=SYSTEM)
    assert (period.status, period.started_at) == (PeriodStatus.DECLARED, begun)
    assert {row.status for row in pack.forms.all()} == {"issued"}
    with pytest.raises(Conflict) as refusal:
        declare_downtime(reason="Again", actor=SYSTEM)
    assert "One runs since" in refusal.value.found
    assert declare_downtime(reason="Network", site=site, actor=SYSTEM).site == site
    with pytest.raises(InvalidData):
        declare_downtime(reason="Later", started_at=timezone.now() + timedelta(hours=1), actor=SYSTEM)
    with pytest.raises(InvalidData):
        declare_downtime(reason="", site=site, actor=SYSTEM)


@pytest.mark.django_db(transaction=True)
def test_of_two_who_declare_at_once_one_does(alpha):
    answers: list[str] = []

    def work() -> None:
        try:
            connection.set_tenant(alpha)
            declare_downtime(reason="Power", actor=SYSTEM)
            answers.append("declared")
        except Conflict:
            answers.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["declared", "refused", "refused", "refused"]


def test_a_downtime_closes_only_when_nothing_is_open(pack):
    lead = make_actor("qa_lead")
    clerk = make_actor("clerk")
    period = declare_downtime(reason="Power", packs=[pack], actor=lead)
    with pytest.raises(InvalidTransition):
        close_downtime(period, actor=lead)
    end_downtime(period, actor=lead)
    with pytest.raises(Conflict) as refusal:
        close_downtime(period, actor=lead)
    assert refusal.value.found == "4 forms are out."
    return_blank_forms(pack, first=2, last=4, actor=clerk)
    void_downtime_form(form(pack), reason="Lost", actor=clerk)
    period.refresh_from_db()
    assert closing_list(period).counts == {"issued": 0, "entered": 0, "void": 1, "blank": 3}
    closed = close_downtime(period, actor=lead)
    assert (closed.status, closed.closed_by) == (PeriodStatus.CLOSED, lead.user)
    assert close_downtime(period, actor=lead).version == closed.version
    with pytest.raises(InvalidTransition):
        issue_downtime_pack(period, pack=pack, actor=clerk)
    with pytest.raises(InvalidTransition):
        resume_downtime(period, actor=lead)
    assert AuditEvent.objects.filter(event_type="orders.declare_downtime", outcome=4).count() >= 2


def test_a_downtime_ends_after_it_began_and_may_go_on(alpha):
    begun = timezone.now() - timedelta(hours=3)
    period = declare_downtime(reason="Power", started_at=begun, actor=SYSTEM)
    assert running_downtime(actor=SYSTEM) == period
    with pytest.raises(InvalidData):
        end_downtime(period, ended_at=begun - timedelta(minutes=1), actor=SYSTEM)
    ended = end_downtime(period, ended_at=begun + timedelta(hours=1), actor=SYSTEM)
    assert ended.status == PeriodStatus.ENDED
    assert running_downtime(actor=SYSTEM) is None
    resumed = resume_downtime(period, actor=SYSTEM)
    assert (resumed.status, resumed.ended_at) == (PeriodStatus.DECLARED, None)


def test_a_pack_that_is_out_in_another_downtime_is_not_given_out_again(pack):
    period = declare_downtime(reason="Power", packs=[pack], actor=SYSTEM)
    assert issue_downtime_pack(period, pack=pack, actor=SYSTEM) == period
    end_downtime(period, actor=SYSTEM)
    other = declare_downtime(reason="Power again", actor=SYSTEM)
    with pytest.raises(Conflict):
        issue_downtime_pack(other, pack=pack, actor=SYSTEM)


def test_the_pack_of_the_night_is_the_same_until_it_was_used(alpha):
    change_downtime_plan(forms_per_pack=2, actor=SYSTEM)
    first = ensure_night_pack(None, actor=SYSTEM)
    assert ensure_night_pack(None, actor=SYSTEM) == first
    void_downtime_form(form(first), reason="Used", actor=SYSTEM)
    assert ensure_night_pack(None, actor=SYSTEM) != first


# --- rights and searches


def test_who_may_print_enter_and_declare(pack):
    clerk, lead, reader, admin = (make_actor(role) for role in ("clerk", "qa_lead", "radiologist", "it_admin"))
    assert make_downtime_pack(count=1, actor=clerk).made_by == clerk.user
    with pytest.raises(NotPermitted):
        declare_downtime(reason="Power", actor=clerk)
    with pytest.raises(NotPermitted):
        make_downtime_pack(count=1, actor=reader)
    with pytest.raises(NotPermitted):
        void_downtime_form(form(pack), reason="Wet", actor=admin)
    period = declare_downtime(reason="Power", actor=admin)
    assert end_downtime(period, actor=lead).status == PeriodStatus.ENDED


def test_a_sheet_is_found_by_whatever_is_read_from_it(pack):
    row = form(pack, 3)
    for words in (row.accession_number, row.study_instance_uid, row.label, row.label.lower(), f" {row.label} "):
        assert form_of_number(words, actor=SYSTEM) == row
    assert form_of_number("P0009-77", actor=SYSTEM) is None
    assert form_of_number("", actor=SYSTEM) is None


def test_who_works_at_another_site_sees_no_pack_of_this_one(alpha):
    north, south = (Site.objects.create(code=code, name=code) for code in ("north", "south"))
    pack = make_downtime_pack(count=1, site=north, actor=SYSTEM)
    clerk = make_actor("clerk")
    clerk.user.sites.add(south)
    assert list(DowntimePack.objects.visible_to(clerk)) == []
    assert form_of_number(pack.forms.get().accession_number, actor=clerk) is None
    clerk.user.sites.add(north)
    assert list(DowntimePack.objects.visible_to(make_actor("clerk"))) == [pack]


def test_another_facility_has_none_of_it(pack, beta):
    from ris.tenants.context import use_facility

    with use_facility(beta):
        assert not DowntimePack.objects.exists()
