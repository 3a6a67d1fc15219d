from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.utils import timezone

from ris.accounts.lockout import locked_names
from ris.audit.models import Action
from ris.audit.service import record
from ris.core.actor import Actor
from ris.notifications.services import notify
from tests.factories.accounts import UserFactory, user_with_roles


@pytest.mark.parametrize(
    ("role", "seen", "unseen"),
    [
        ("it_admin", ["Parked deliveries", "Messages that failed", "Emergency access", "Refused in 24 hours"], []),
        (
            "it_admin",
            ["Locked out now", "Audit trail verified", "Interfaces", "Scanners", "Nobody was turned away."],
            [],
        ),
        ("qa_lead", ["Emergency access", "Refused in 24 hours", "Review rounds"], ["Parked deliveries", "Scanners"]),
        ("medical_physicist", ["Newest dose reports", "Waiting for their exam"], ["Review rounds", "Scanners"]),
        ("clerk", [], ["Parked deliveries", "Emergency access", "Refused in 24 hours"]),
    ],
)
def test_home_shows_what_watching_people_watch(tclient, alpha, role, seen, unseen):
    notify(user=UserFactory(email=""), channel="email", template="x.y")
    tclient.force_login(user_with_roles(role))
    page = tclient.get("/").content.decode()
    assert [words for words in seen if words not in page] == []
    assert [words for words in unseen if words in page] == []


def test_the_administrator_sees_who_is_locked_out_and_what_the_last_check_found(tclient, alpha):
    tclient.force_login(user_with_roles("it_admin"))
    page = tclient.get("/").content.decode()
    assert "Run manage.py verify_audit." in page
    AccessAttempt.objects.create(
        username="somebody", ip_address="10.0.0.9", failures_since_start=5, attempt_time=timezone.now()
    )
    AccessAttempt.objects.create(
        username="earlier", ip_address="10.0.0.9", failures_since_start=5, attempt_time=timezone.now()
    )
    AccessAttempt.objects.filter(username="earlier").update(attempt_time=timezone.now() - timedelta(days=1))
    record(Actor("command"), "audit.verify_seals", Action.EXECUTE, detail={"intact": False, "problems": 1})
    assert locked_names() == 1
    page = tclient.get("/").content.decode()
    assert "Broken" in page
    assert "Run manage.py verify_audit." not in page
