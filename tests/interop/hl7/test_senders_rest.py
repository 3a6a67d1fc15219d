"""REST: agreements with senders, what their codes mean, and what waits."""

from __future__ import annotations

import pytest

from interop.hl7 import services
from interop.hl7.intake import Door, receive
from orders.models import RequestedProcedure
from ris.core.actor import SYSTEM
from ris.core.permissions import CLERK, IT_ADMIN, QA_LEAD
from tests.factories.accounts import user_with_roles
from tests.factories.orders import make_catalogue
from tests.interop.hl7.conftest import order, pid

DOOR = Door(2575, "127.0.0.1")
REST = "/api/v1/hl7-"
CODE = {"application": "HIS", "facility": "CLINIC", "scheme": "99HIS"}


@pytest.fixture
def rest(api, alpha):
    """Who signs in answers with the client."""

    def signed_in(*roles):
        api.force_authenticate(user_with_roles(*roles))
        return api

    return signed_in


def test_a_sender_is_agreed_with_changed_and_found_again(rest):
    api = rest(IT_ADMIN)
    destination = services.add_destination(name="his", host="127.0.0.1", port=9, messages=["ORR"], actor=SYSTEM)
    body = {
        "application": "HIS", "facility_name": "CLINIC", "order_actions": {"XO|CM": "change", "NW|": "new"},
        "value_maps": {"sex": {"W": "F"}}, "answers_to": str(destination.uuid),
    }  # fmt: skip
    made = api.post(f"{REST}senders/", body, format="json")
    assert made.status_code == 201, made.content
    told = made.json()
    assert told["order_actions"] == {"XO|CM": "change"}, "only what differs is kept"
    assert (told["answers_to"], told["reversed_merge"]) == (str(destination.uuid), "refuse")
    assert api.post(f"{REST}senders/", body, format="json").status_code == 409
    one = f"{REST}senders/{told['id']}/"
    changed = api.patch(one, {"reversed_merge": "ignore", "answers_to": None}, format="json").json()
    assert (changed["reversed_merge"], changed["answers_to"], changed["issuer"]) == ("ignore", None, "")
    assert changed["value_maps"] == {"sex": {"W": "F"}}
    assert api.get(one).json() == changed and api.get(f"{REST}senders/").json()["results"] == [changed]


def test_what_makes_no_sense_is_refused_at_its_field(rest):
    api = rest(IT_ADMIN)
    for change, field in (
        ({"order_actions": {"XO|CM": "dance"}}, "order_actions"),
        ({"field_sources": {"sex": ["PID 8"]}}, "field_sources"),
        ({"value_maps": {"sex": {"W\x00": "F"}}}, "value_maps"),
        ({"value_maps": {"sex": {"W": "Z"}}}, "value_maps"),
        ({"answers_to": "00000000-0000-7000-8000-000000000000"}, "answers_to"),
        ({"reversed_merge": "perhaps"}, "reversed_merge"),
    ):
        answer = api.post(f"{REST}senders/", {"application": "HIS", **change}, format="json")
        assert answer.status_code == 400 and field in answer.json()["errors"], answer.content
    assert api.get(f"{REST}senders/").json()["results"] == []


def test_codes_wait_are_mapped_and_forgotten(rest, django_assert_max_num_queries):
    make_catalogue("CT1", name="CT chest", modality="CT")
    for number in ("A1", "A2", "A3"):
        receive(order(number, "XR99^Odd view^99HIS", patient=pid(number)), DOOR)
    api = rest(QA_LEAD)
    with django_assert_max_num_queries(12):
        waiting = api.get(f"{REST}unmapped-codes/?application=HIS&code=XR99").json()["results"]
    assert len(waiting) == 3 and {**CODE, "code": "XR99"}.items() <= waiting[0].items()
    assert api.get(f"{REST}unmapped-codes/?code=OTHER").json()["results"] == []
    unknown = api.post(f"{REST}code-aliases/", {**CODE, "code": "XR99", "exam": "NIL"}, format="json")
    assert unknown.status_code == 400 and "exam" in unknown.json()["errors"]
    done = api.post(f"{REST}code-aliases/", {**CODE, "code": "XR99", "exam": "CT1"}, format="json")
    assert done.status_code == 201, done.content
    alias = done.json()["alias"]
    assert (done.json()["went_on"], done.json()["still_waiting"], alias["exam"]) == (3, 0, "CT1")
    assert RequestedProcedure.objects.filter(catalogue__code="CT1").count() == 3
    assert api.get(f"{REST}unmapped-codes/").json()["results"] == []
    assert api.get(f"{REST}code-aliases/?application=HIS").json()["results"] == [alias]
    one = f"{REST}code-aliases/{alias['id']}/"
    assert api.get(one).json() == alias
    assert api.post(f"{one}forget/").json()["is_active"] is False
    assert api.get(one).status_code == 404 and api.post(f"{one}forget/").status_code == 404
    receive(order("A4", "XR99^Odd view^99HIS", patient=pid("A4")), DOOR)
    assert len(api.get(f"{REST}unmapped-codes/").json()["results"]) == 1


def test_who_may_not(rest):
    clerk = rest(CLERK)
    for name in ("senders", "code-aliases", "unmapped-codes"):
        assert clerk.get(f"{REST}{name}/").status_code == 403
    assert rest(QA_LEAD).post(f"{REST}senders/", {}, format="json").status_code == 403
