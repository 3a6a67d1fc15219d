import pytest

from ris.notifications.services import notify
from tests.factories.accounts import UserFactory, user_with_roles


@pytest.mark.parametrize(
    ("role", "seen", "unseen"),
    [
        ("it_admin", ["Parked deliveries", "Messages that failed", "Emergency access", "Refused in 24 hours"], []),
        ("qa_lead", ["Emergency access", "Refused in 24 hours"], ["Parked deliveries"]),
        ("clerk", [], ["Parked deliveries", "Emergency access", "Refused in 24 hours"]),
    ],
)
def test_home_shows_what_watching_people_watch(tclient, alpha, role, seen, unseen):
    notify(user=UserFactory(email=""), channel="email", template="x.y")
    tclient.force_login(user_with_roles(role))
    page = tclient.get("/").content.decode()
    assert [words for words in seen if words not in page] == []
    assert [words for words in unseen if words in page] == []
