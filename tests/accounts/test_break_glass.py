from datetime import timedelta
from uuid import uuid4

import pytest
from django.core import mail
from django.utils import timezone

from orders.models import Patient
from ris.accounts import grants
from ris.accounts.models import BreakGlass, User
from ris.accounts.services.emergency import break_glass, end_break_glass
from ris.audit.models import AuditEvent
from ris.core.actor import Actor
from ris.core.errors import InvalidData, NotPermitted
from ris.core.permissions import clinical_codes
from ris.notifications.models import Notification
from tests.factories.accounts import actor_with_roles, user_with_roles
from tests.factories.orders import make_patient

REASON = "Unconscious in the emergency room"


@pytest.fixture
def watchers(alpha):
    return {user_with_roles("qa_lead").pk, user_with_roles("it_admin").pk}


def test_access_is_taken_for_an_hour_and_told(watchers, dispatch):
    actor = actor_with_roles("radiologist")
    patient = uuid4()
    row = break_glass(patient=patient, reason=REASON, actor=actor)
    assert timedelta(minutes=59) < row.expires_at - timezone.now() <= timedelta(hours=1)
    assert grants.has_broken_glass_for(patient, actor=actor)
    assert not grants.has_broken_glass_for(uuid4(), actor=actor)
    event = AuditEvent.objects.get(event_type="accounts.break_glass_reason")
    assert (event.patient, event.reason, event.user) == (patient, REASON, actor.user.uuid)
    told = Notification.objects.filter(channel="in_app")
    assert set(told.values_list("recipient", flat=True)) == watchers
    dispatch()
    assert len(mail.outbox) == 2
    assert actor.user.username in mail.outbox[0].subject
    assert str(patient) not in mail.outbox[0].body


def test_it_ends_by_itself_and_by_hand(alpha):
    actor = actor_with_roles("radiologist")
    patient = uuid4()
    row = break_glass(patient=patient, reason=REASON, actor=actor)
    BreakGlass.objects.update(expires_at=timezone.now())
    assert not grants.has_broken_glass_for(patient, actor=actor)
    BreakGlass.objects.update(expires_at=timezone.now() + timedelta(hours=1))
    end_break_glass(row, actor=actor)
    assert not grants.has_broken_glass_for(patient, actor=actor)


def test_an_administrator_sees_by_it_and_signs_nothing(alpha):
    actor = actor_with_roles("it_admin")
    views = [code for code in clinical_codes() if code.split(".")[1].startswith("view_")]
    others = [code for code in clinical_codes() if not code.split(".")[1].startswith("view_")]
    assert not any(actor.may(code) for code in clinical_codes())
    assert not grants.sees_clinical_content(actor=actor)
    break_glass(patient=None, reason=REASON, actor=actor)
    later = Actor("web", User.objects.get(pk=actor.user.pk))
    assert grants.sees_clinical_content(actor=later)
    assert all(later.may(code) for code in views)
    assert not any(later.may(code) for code in others)


def test_it_needs_a_reason_a_patient_and_a_person(alpha):
    radiologist = actor_with_roles("radiologist")
    with pytest.raises(InvalidData):
        break_glass(patient=uuid4(), reason="  short  ", actor=radiologist)
    with pytest.raises(InvalidData):
        break_glass(patient=None, reason=REASON, actor=radiologist)
    program = Actor("api", radiologist.user, scopes=frozenset({"accounts.break_glass"}))
    with pytest.raises(NotPermitted):
        break_glass(patient=uuid4(), reason=REASON, actor=program)
    with pytest.raises(NotPermitted):
        break_glass(patient=uuid4(), reason=REASON, actor=Actor("web", user_with_roles()))
    assert BreakGlass.objects.count() == 0


def test_the_page(tclient, watchers):
    user = user_with_roles("radiologist")
    tclient.force_login(user)
    patient = uuid4()
    page = tclient.get("/break-glass/", {"patient": str(patient), "next": "/profile/"}).content.decode()
    assert str(patient) in page
    assert tclient.post("/break-glass/", {"patient": str(patient), "reason": "x"}).status_code == 422
    answer = tclient.post("/break-glass/", {"patient": str(patient), "reason": REASON, "next": "/profile/"})
    assert answer["Location"] == "/profile/"
    row = BreakGlass.objects.get()
    assert REASON in tclient.get("/profile/").content.decode()
    assert tclient.post(f"/break-glass/{row.uuid}/end/").status_code == 302
    row.refresh_from_db()
    assert row.ended_at is not None


def test_a_break_glass_for_one_patient_opens_that_one(alpha):
    mine, other = make_patient(), make_patient(family_name="Kimani", given_name="Wanjiru")
    admin = actor_with_roles("it_admin")
    assert list(Patient.objects.visible_to(admin)) == []
    break_glass(patient=mine.uuid, reason=REASON, actor=admin)
    later = Actor("web", User.objects.get(pk=admin.user.pk))
    assert list(Patient.objects.visible_to(later)) == [mine]
    break_glass(patient=None, reason=REASON, actor=admin)
    assert set(Patient.objects.visible_to(later)) == {mine, other}


def test_a_restricted_patient_is_opened_by_it(alpha):
    patient = make_patient(is_restricted=True)
    radiologist = actor_with_roles("radiologist")
    assert not Patient.objects.visible_to(radiologist).exists()
    break_glass(patient=patient.uuid, reason=REASON, actor=radiologist)
    assert Patient.objects.visible_to(radiologist).get() == patient
