"""REST for waiting numbers, displays and reminders."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from ris.core.actor import SYSTEM
from tests.factories.orders import make_user
from tests.factories.worklist import at, booked
from worklist.models import AppointmentReminder
from worklist.services import arrive_patient

URL = "/api/v1/"


@pytest.fixture
def clerk(api):
    api.force_authenticate(make_user("clerk"))
    return api


@pytest.fixture
def administrator(api):
    api.force_authenticate(make_user("it_admin"))
    return api


def test_a_ticket_is_found_and_called(clerk):
    procedure = arrive_patient(booked().procedure, actor=SYSTEM)
    booked(starts_at=at(12))
    (ticket,) = clerk.get(f"{URL}queue-tickets/?is_waiting=true&day={timezone.localdate()}").data["results"]
    assert (ticket["label"], ticket["procedure"], ticket["called_to"]) == ("CT-001", str(procedure.uuid), None)
    called = clerk.post(f"{URL}queue-tickets/{ticket['id']}/call/", {})
    assert (called.status_code, called.data["called_to"], called.data["call_count"]) == (200, "ct1", 1)
    assert called["ETag"]
    assert clerk.post(f"{URL}queue-tickets/{ticket['id']}/call/", {"room": "nowhere"}).status_code == 404
    procedure.status = "in_progress"
    procedure.save()
    assert clerk.post(f"{URL}queue-tickets/{ticket['id']}/call/", {}).status_code == 409
    assert clerk.get(f"{URL}queue-tickets/?is_waiting=true").data["results"] == []


def test_a_list_of_tickets_costs_a_fixed_number_of_queries(clerk):
    counts = []
    for hour in range(8, 12):
        arrive_patient(booked(starts_at=at(hour)).procedure, actor=SYSTEM)
        with CaptureQueriesContext(connection) as queries:
            clerk.get(f"{URL}queue-tickets/")
        counts.append(len(queries))
    assert counts[1] == counts[2] == counts[3]


def test_a_displays_link_is_told_once(administrator):
    booked()
    made = administrator.post(f"{URL}waiting-room-displays/", {"name": "Hall", "rooms": ["ct1"], "language": "sw"})
    assert made.status_code == 201 and made.data["rooms"] == ["ct1"]
    path = made.data["link"].partition("alpha.test")[2]
    assert Client(HTTP_HOST="alpha.test").get(path).status_code == 200
    one = f"{URL}waiting-room-displays/{made.data['id']}/"
    assert administrator.get(one).data["link"] == ""
    renewed = administrator.post(f"{one}renew/")
    assert renewed.data["link"] and renewed.data["link"] != made.data["link"]
    assert Client(HTTP_HOST="alpha.test").get(path).status_code == 404
    assert administrator.post(f"{one}close/").data["revoked_at"] is not None
    assert administrator.post(f"{URL}waiting-room-displays/", {"name": "Hall"}).status_code == 409


def test_a_clerk_makes_no_display(clerk):
    assert clerk.post(f"{URL}waiting-room-displays/", {"name": "Hall"}).status_code == 403


def test_consent_plans_a_reminder_and_its_end_calls_it_off(clerk):
    reservation = booked(starts_at=at(10, days=3))
    patient = reservation.procedure.order.patient
    body = {"patient": str(patient.uuid), "channel": "sms"}
    assert clerk.post(f"{URL}contact-preferences/", body).status_code == 400
    patient.phone = "+254700000001"
    patient.save()
    assert clerk.post(f"{URL}contact-preferences/", body).status_code == 201
    (row,) = clerk.get(f"{URL}reminders/?appointment={reservation.uuid}").data["results"]
    assert (row["status"], row["channel"], row["delivery"]) == ("planned", "sms", None)
    clerk.post(f"{URL}contact-preferences/", body | {"channel": ""})
    assert AppointmentReminder.objects.get().status == "cancelled"
    assert [row["channel"] for row in clerk.get(f"{URL}contact-preferences/").data["results"]] == [""]
