"""What would CT1 see now? On a page and on the command line; and a scanner that was turned away is added from there."""

from __future__ import annotations

import json

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from interop.models import DicomPeer
from ris.audit.models import AuditEvent
from ris.tenants.models import RefusedConnection
from tests.factories.accounts import user_with_roles
from worklist.permissions import VIEW_STEP

from .conftest import make_peer, schedule

pytestmark = pytest.mark.usefixtures("alpha")


def ask(tclient, **asked: str):
    return tclient.post(reverse("worklist_preview"), {"ae_title": "CT1", "station": "own", "dates": "any", **asked})


def test_the_page_shows_what_the_scanner_gets_as_it_is_spelled(tclient):
    procedure = schedule("CT1", family_name="Łukasz")
    make_peer("CT1", character_set="ISO_IR 6", name_in_capitals=True)
    tclient.force_login(user_with_roles("technologist"))
    assert tclient.get(reverse("worklist_preview") + "?ae_title=CT1").context["form"].initial["ae_title"] == "CT1"
    answer = ask(tclient)
    page = answer.content.decode()
    assert "LUKASZ^WANJIRU" in page and procedure.accession_number in page
    row = AuditEvent.objects.filter(action="R", event_type=VIEW_STEP).order_by("-pk").first()
    assert row.source != "mwl"
    assert row.patients == [procedure.order.patient.uuid]
    assert "Scheduled Station AE Title" in page


def test_who_keeps_the_network_sees_no_names(tclient):
    procedure = schedule("CT1")
    make_peer("CT1")
    tclient.force_login(user_with_roles("it_admin"))
    page = ask(tclient).content.decode()
    assert procedure.accession_number in page
    assert "Achieng" not in page and "masked" in page
    page = ask(tclient, modality="MR", missing=procedure.accession_number).content.decode()
    assert "Modality does not match" in page and "Achieng" not in page


def test_the_page_says_why_an_exam_is_not_seen(tclient):
    procedure = schedule("CT1")
    make_peer("CT2")
    tclient.force_login(user_with_roles("technologist"))
    page = ask(tclient, ae_title="CT2", missing=procedure.accession_number).content.decode()
    assert "Station AE Title does not match" in page and "The scanner would show an empty list." in page


def test_an_unknown_title_is_shown_what_it_would_see_and_can_be_added(tclient):
    procedure = schedule("CT1")
    tclient.force_login(user_with_roles("it_admin"))
    page = ask(tclient).content.decode()
    assert "No peer has the AE title CT1" in page and procedure.accession_number in page
    assert f"{reverse('admin:interop_dicompeer_add')}?ae_title=CT1" in page


def test_a_peer_without_the_right_is_refused_on_the_page_too(tclient):
    make_peer("CT1", may_query_worklist=False)
    tclient.force_login(user_with_roles("it_admin"))
    assert "status 0124" in ask(tclient).content.decode()


def test_others_do_not_get_in(tclient):
    tclient.force_login(user_with_roles("referring_physician"))
    assert tclient.get(reverse("worklist_preview")).status_code == 403


def test_the_number_of_queries_does_not_grow_with_the_answers(tclient):
    make_peer("CT1")
    tclient.force_login(user_with_roles("technologist"))
    counts = []
    for round_ in range(3):
        schedule("CT1", hour=round_, family_name=f"Person {round_}")
        with CaptureQueriesContext(connection) as queries:
            assert ask(tclient).status_code == 200
        counts.append(len(queries))
    assert counts[1] == counts[2]


def test_who_was_turned_away_is_added_with_a_filled_form(tclient):
    title = "CT7"
    RefusedConnection.objects.create(
        kind="dicom", called="ALPHA", calling=title, address="10.1.2.3", reason="calling_ae_not_allowed"
    )
    tclient.force_login(user_with_roles("it_admin"))
    page = tclient.get(reverse("integrations")).content.decode()
    link = f"{reverse('admin:interop_dicompeer_add')}?ae_title=CT7&amp;allowed_addresses=10.1.2.3"
    assert link in page
    form = tclient.get(link.replace("&amp;", "&") + "&may_store=on").content.decode()
    assert 'value="CT7"' in form and 'value="10.1.2.3"' in form
    make_peer(title, is_active=False)
    page = tclient.get(reverse("integrations")).content.decode()
    assert link not in page and f"{reverse('admin:interop_dicompeer_changelist')}?q=CT7" in page


def test_the_command_says_the_same():
    procedure = schedule("CT1")
    make_peer("CT*", shown_modalities=["MR"])
    asked = {"facility": "alpha", "station": "CT1", "date": "all"}
    told = json.loads(call_command("preview_mwl", peer="CT1", why_not=procedure.accession_number, **asked))
    assert (told["peer"], told["status"], told["count"]) == ("CT*", "0000", 0)
    [reason] = told["why_not"]
    assert reason["reasons"] == ["The peer sees only the modalities MR; this step is CT."]
    DicomPeer.objects.update(shown_modalities=[])
    told = json.loads(call_command("preview_mwl", **asked))
    assert told["items"][0]["AccessionNumber"] == procedure.accession_number
