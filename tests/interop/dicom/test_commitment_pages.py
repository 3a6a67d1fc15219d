"""Storage commitment as people and programs see it: integrations page, REST, administration."""

from __future__ import annotations

import pytest
from django.urls import reverse

from interop.models import DicomPeer, StorageCommitment
from ris.audit.models import AuditEvent
from ris.core.permissions import IT_ADMIN, TECHNOLOGIST
from tests.factories.accounts import user_with_roles

CT = "1.2.840.10008.5.1.4.1.1.2"


def asked(number: int, **fields) -> StorageCommitment:
    peer, _made = DicomPeer.objects.get_or_create(ae_title="CT1")
    return StorageCommitment.objects.create(
        peer=peer,
        transaction_uid=f"1.2.3.{number}",
        calling_ae_title="CT1",
        called_ae_title="ALPHA",
        references=[[CT, "1.2.3"], [CT, "1.2.4"]],
        **fields,
    )


@pytest.fixture
def rows(alpha):
    failed = [[CT, "1.2.4", 0x0112]]
    return [
        asked(1, status="delivered", attempts=1),
        asked(2, status="pending", attempts=4, last_error="Nobody answers there.", failures=failed),
        asked(3, status="parked", attempts=999),
    ]


def sign_in(client, role):
    client.force_login(user_with_roles(role), backend="ris.accounts.backends.PasswordBackend")
    return client


def test_the_page_shows_what_waits_and_lets_it_be_tried_again(tclient, rows):
    words = sign_in(tclient, IT_ADMIN).get("/integrations/").content.decode()
    assert words.index("1.2.3.3") < words.index("1.2.3.2") < words.index("1.2.3.1")
    assert "Nobody answers there." in words
    again = tclient.post(reverse("commitment_action", args=[rows[2].uuid, "again"]))
    assert again.status_code == 302
    rows[2].refresh_from_db()
    assert (rows[2].status, rows[2].attempts, rows[2].checked_at) == ("pending", 0, None)
    tclient.post(reverse("commitment_action", args=[rows[1].uuid, "park"]))
    rows[1].refresh_from_db()
    assert rows[1].status == "parked"
    assert AuditEvent.objects.filter(entity=rows[1].uuid).count() == 1
    assert tclient.post(reverse("commitment_action", args=[rows[1].uuid, "eat"])).status_code == 404


def test_who_may_not_manage_interfaces_may_not_touch_it(tclient, rows):
    sign_in(tclient, TECHNOLOGIST)
    assert tclient.post(reverse("commitment_action", args=[rows[2].uuid, "again"])).status_code in (403, 404)
    assert tclient.get("/api/v1/storage-commitments/").status_code == 403
    rows[2].refresh_from_db()
    assert rows[2].status == "parked"


def test_rest_lists_shows_and_acts(tclient, rows, django_assert_max_num_queries):
    sign_in(tclient, IT_ADMIN)
    with django_assert_max_num_queries(30) as few:
        found = tclient.get("/api/v1/storage-commitments/").json()["results"]
    assert [row["transaction_uid"] for row in found] == ["1.2.3.3", "1.2.3.2", "1.2.3.1"]
    asked(4)
    with django_assert_max_num_queries(len(few.captured_queries)):
        tclient.get("/api/v1/storage-commitments/")
    [waiting] = tclient.get("/api/v1/storage-commitments/?status=parked").json()["results"]
    assert waiting["attempts"] == 999
    one = tclient.get(f"/api/v1/storage-commitments/{rows[1].uuid}/").json()
    assert (one["asked_count"], one["failed_count"]) == (2, 1)
    assert one["failures"] == [{"sop_class_uid": CT, "sop_instance_uid": "1.2.4", "reason": 0x0112}]
    assert tclient.post(f"/api/v1/storage-commitments/{rows[2].uuid}/report/").json()["status"] == "pending"
    assert tclient.post(f"/api/v1/storage-commitments/{rows[1].uuid}/park/").json()["status"] == "parked"
    assert tclient.post(f"/api/v1/storage-commitments/{rows[0].uuid}/park/").status_code == 409
    assert tclient.get("/api/v1/storage-commitments/?status=eaten").status_code == 400


def test_the_administration_lists_them(tclient, rows):
    sign_in(tclient, IT_ADMIN)
    words = tclient.get(reverse("admin:interop_storagecommitment_changelist")).content.decode()
    assert "1.2.3.2" in words
