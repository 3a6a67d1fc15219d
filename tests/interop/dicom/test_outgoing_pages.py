"""Outgoing DICOM work as people and programs see it: integrations page, REST, administration."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from interop.dicom.outgoing import cancel_outgoing, park_outgoing, retry_outgoing
from interop.models import DicomPeer, OutgoingDicom
from ris.audit.models import AuditEvent
from ris.core.actor import SYSTEM
from ris.core.errors import InvalidData, InvalidTransition, NotPermitted
from ris.core.permissions import IT_ADMIN, TECHNOLOGIST
from tests.factories.accounts import user_with_roles
from tests.factories.orders import make_actor


def work(status: str, **fields) -> OutgoingDicom:
    peer, _made = DicomPeer.objects.get_or_create(
        ae_title="ARCHIVE", defaults={"host": "127.0.0.1", "port": 104, "forward_images": True}
    )
    subject = uuid4()
    return OutgoingDicom.objects.create(
        kind="images",
        peer=peer,
        subject=subject,
        ordering_key=str(subject),
        dedupe_key=str(subject),
        status=status,
        **fields,
    )


def sign_in(client, role):
    client.force_login(user_with_roles(role), backend="ris.accounts.backends.PasswordBackend")
    return client


def test_the_page_shows_what_needs_a_person_first_and_its_buttons_work(tclient, alpha):
    done = work("done", accession_number="A1")
    waiting = work("pending", accession_number="A2", attempts=3, last_error="Nobody answers there.")
    parked = work("parked", accession_number="A3", last_error="Status 0106.")
    words = sign_in(tclient, IT_ADMIN).get("/integrations/").content.decode()
    words = words[words.index("outgoing-dicom") :]
    assert words.index("A3") < words.index("A2") < words.index("A1")
    assert "Nobody answers there." in words
    assert tclient.post(reverse("outgoing_action", args=[parked.uuid, "retry"])).status_code == 302
    tclient.post(reverse("outgoing_action", args=[waiting.uuid, "park"]))
    for row, status in ((parked, "pending"), (waiting, "parked"), (done, "done")):
        row.refresh_from_db()
        assert row.status == status
    tclient.post(reverse("outgoing_action", args=[waiting.uuid, "cancel"]), {"reason": "Peer was replaced"})
    waiting.refresh_from_db()
    assert (waiting.status, waiting.last_error) == ("cancelled", "Peer was replaced")
    assert AuditEvent.objects.filter(entity=waiting.uuid).count() == 2
    assert tclient.post(reverse("outgoing_action", args=[waiting.uuid, "eat"])).status_code == 404


def test_who_may_not_replay_may_not_touch_it(tclient, alpha):
    row = work("parked")
    sign_in(tclient, TECHNOLOGIST)
    assert tclient.post(reverse("outgoing_action", args=[row.uuid, "retry"])).status_code in (403, 404)
    with pytest.raises(NotPermitted):
        retry_outgoing(row, actor=make_actor(TECHNOLOGIST))
    row.refresh_from_db()
    assert row.status == "parked"


def test_what_is_over_stays_so(alpha):
    done, cancelled = work("done"), work("cancelled")
    with pytest.raises(InvalidTransition):
        retry_outgoing(done, actor=SYSTEM)
    for row in (done, cancelled):
        with pytest.raises(InvalidTransition):
            park_outgoing(row, actor=SYSTEM)
        with pytest.raises(InvalidTransition):
            cancel_outgoing(row, reason="Why", actor=SYSTEM)
    with pytest.raises(InvalidData):
        cancel_outgoing(work("pending"), reason=" ", actor=SYSTEM)
    assert retry_outgoing(cancelled, actor=SYSTEM).status == "pending"


def test_rest_lists_and_acts(api, alpha):
    api.force_authenticate(user_with_roles(IT_ADMIN))
    parked = work("parked", accession_number="A3")
    work("pending")
    found = api.get("/api/v1/outgoing-dicom/?status=parked").json()["results"]
    assert [row["id"] for row in found] == [str(parked.uuid)]
    assert (found[0]["kind"], found[0]["peer"]) == ("images", "ARCHIVE")
    assert api.get("/api/v1/outgoing-dicom/?status=eaten").status_code == 400
    assert api.post(f"/api/v1/outgoing-dicom/{parked.uuid}/retry/").json()["status"] == "pending"
    assert api.post(f"/api/v1/outgoing-dicom/{parked.uuid}/park/", {"reason": "Not now"}).json()["status"] == "parked"
    assert api.post(f"/api/v1/outgoing-dicom/{parked.uuid}/cancel/", {}).status_code == 400
    answer = api.post(f"/api/v1/outgoing-dicom/{parked.uuid}/cancel/", {"reason": "Replaced"})
    assert answer.json()["status"] == "cancelled"
    assert api.post(f"/api/v1/outgoing-dicom/{parked.uuid}/park/", {}).status_code == 409


def test_the_list_costs_the_same_however_long_it_is(api, alpha):
    api.force_authenticate(user_with_roles(IT_ADMIN))
    work("pending")
    api.get("/api/v1/outgoing-dicom/")
    with CaptureQueriesContext(connection) as few:
        api.get("/api/v1/outgoing-dicom/")
    for _number in range(6):
        work("pending")
    with CaptureQueriesContext(connection) as many:
        assert len(api.get("/api/v1/outgoing-dicom/").json()["results"]) == 7
    assert len(many) == len(few)
