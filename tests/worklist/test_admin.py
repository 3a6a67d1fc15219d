"""The administration as a second door: a clerk books there, and every transition is a service's."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone

from ris.core.actor import SYSTEM
from tests.factories.orders import make_user
from tests.factories.worklist import STORE, at, booked, ct_procedure, make_station, step_of, stored
from worklist.models import ExceptionItem, ImagingStudy, Reservation
from worklist.services import arrive_patient, ensure_questionnaires, index_instance


@pytest.fixture
def sign_in(tclient):
    def as_role(*roles: str):
        tclient.force_login(make_user(*roles), backend="ris.accounts.backends.PasswordBackend")
        return tclient

    return as_role


def url(model: str, view: str, *args) -> str:
    return reverse(f"admin:worklist_{model}_{view}", args=args)


def booking(procedure, station, starts_at, **more) -> dict[str, str]:
    local = timezone.localtime(starts_at, timezone.get_fixed_timezone(180))
    return {
        "procedure": str(procedure.pk),
        "station": str(station.pk),
        "starts_at_0": f"{local:%Y-%m-%d}",
        "starts_at_1": f"{local:%H:%M}",
        "duration_minutes": "20",
        "reason": "",
        **more,
    }


def act(client, model: str, name: str, *rows, **data):
    body = {"action": f"do_{name}", "_selected_action": [str(row.pk) for row in rows], **data}
    return client.post(url(model, "changelist"), body, follow=True)


def test_a_clerk_books_moves_and_cancels(sign_in):
    client, procedure, station = sign_in("clerk"), ct_procedure(), make_station()
    assert client.get(url("reservation", "add")).status_code == 200
    answer = client.post(url("reservation", "add"), booking(procedure, station, at(10)))
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    reservation = Reservation.objects.get()
    procedure.refresh_from_db()
    assert (reservation.starts_at, reservation.room, procedure.status) == (at(10), station.room, "scheduled")
    taken = client.post(url("reservation", "add"), booking(ct_procedure(), station, at(10)))
    assert taken.status_code == 409 and b"That time is taken" in taken.content
    change = url("reservation", "change", reservation.pk)
    assert client.get(change).status_code == 200
    moved = client.post(change, booking(procedure, station, at(12)))
    assert moved.status_code == 302
    reservation.refresh_from_db()
    assert reservation.starts_at == at(12)
    act(client, "reservation", "arrive_appointment", reservation)
    reservation.refresh_from_db()
    assert reservation.status == "arrived"
    act(client, "reservation", "cancel_appointment", reservation, reason="Fever", _confirmed="1")
    reservation.refresh_from_db()
    assert reservation.status == "cancelled"
    assert client.get(url("reservation", "history", reservation.pk)).status_code == 200


def test_a_technologist_performs_there(sign_in):
    client = sign_in("technologist")
    procedure = booked().procedure
    arrive_patient(procedure, actor=SYSTEM)
    step = step_of(procedure)
    confirmed = {"identifiers": ["name", "birth_date"], "checks": ["exam", "pregnancy", "allergy", "entry"]}
    act(client, "scheduledprocedurestep", "start_step", step)
    procedure.refresh_from_db()
    assert procedure.status == "arrived"
    act(client, "scheduledprocedurestep", "note_time_out", step, **confirmed, _confirmed="1")
    act(client, "scheduledprocedurestep", "start_step", step)
    procedure.refresh_from_db()
    assert procedure.status == "in_progress"
    act(client, "scheduledprocedurestep", "complete_step", step)
    procedure.refresh_from_db()
    assert procedure.status == "performed"
    refused = act(client, "scheduledprocedurestep", "complete_step", step)
    assert b"completed before" in refused.content


def test_studies_are_linked_and_exceptions_resolved(sign_in):
    client = sign_in("technologist")
    procedure = booked().procedure
    index_instance(stored(patient_id="X", patient_name="A^B"), actor=STORE)
    study = ImagingStudy.objects.get()
    act(
        client,
        "imagingstudy",
        "link_by_number",
        study,
        accession_number=procedure.accession_number,
        reason="Seen",
        _confirmed="1",
    )
    assert list(study.procedures.all()) == [procedure]
    assert ExceptionItem.objects.get().resolution == "Seen"


def test_every_table_opens_and_nobody_deletes(sign_in):
    client = sign_in("technologist", "radiologist")
    ensure_questionnaires()
    reservation = booked()
    index_instance(stored(reservation.procedure), actor=STORE)
    models = [model for model in admin.site._registry if model._meta.app_label == "worklist"]
    assert len(models) >= 14
    for model in models:
        name = model._meta.model_name
        assert client.get(url(name, "changelist")).status_code == 200, name
        row = model._default_manager.first()
        if row is not None:
            assert client.get(url(name, "change", row.pk)).status_code == 200, name
            assert client.post(url(name, "delete", row.pk)).status_code == 403, name
    found = client.post(url("reservation", "changelist"), {"_search": "1", "q": "nobody"})
    assert "nobody" not in found["Location"]


def test_it_admin_sets_rooms_up_and_sees_no_exam(sign_in):
    client = sign_in("it_admin")
    booked()
    assert client.get(url("station", "changelist")).status_code == 200
    assert client.get(url("reservation", "changelist")).status_code == 403
    assert client.get(url("scheduledprocedurestep", "changelist")).status_code == 403
    station = make_station()
    data = {"room": str(station.room.pk), "name": "CT ONE", "ae_title": "CT1", "modality": "CT", "is_active": "on"}
    assert client.post(url("station", "change", station.pk), data).status_code == 302
    station.refresh_from_db()
    assert station.name == "CT ONE"
