"""The rota: shifts, substitutes, who is on duty now, where nobody is; by page, REST and administration."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

import pytest
from django.utils import timezone

from ris.core.errors import InvalidData, InvalidTransition, NotPermitted
from ris.notifications import rota
from ris.notifications.models import Duty, RotaShift
from ris.notifications.services import on_duty
from ris.tenants.context import use_facility
from tests.factories.accounts import actor_with_roles, user_with_roles

pytestmark = pytest.mark.django_db
ON_CALL = "radiologist-on-call"


@pytest.fixture
def head(alpha: Any) -> Any:
    return actor_with_roles("radiologist", family_name="Wekesa")


def at(hour: int, day: int = 0) -> datetime:
    return timezone.make_aware(datetime.combine(timezone.localdate() + timedelta(days=day), time(hour)))


def shift(head: Any, **values: Any) -> RotaShift:
    said = {
        "duty": ON_CALL,
        "user": head.user,
        "starts_at": timezone.now() - timedelta(hours=1),
        "ends_at": timezone.now() + timedelta(hours=1),
        **values,
    }
    return rota.add_shift(actor=head, **said)


def test_a_facility_begins_with_duties(alpha: Any) -> None:
    assert list(Duty.objects.values_list("code", flat=True)) == [code for code, _name in rota.STARTERS]
    assert rota.ensure_duties() == 0


def test_on_duty_is_who_is_really_there(head: Any) -> None:
    other = user_with_roles("radiologist")
    row = shift(head)
    assert on_duty(ON_CALL) == [head.user]
    rota.substitute_shift(row, substitute=other, actor=head)
    assert on_duty(ON_CALL) == [other]
    type(other).objects.filter(pk=other.pk).update(is_active=False)
    assert on_duty(ON_CALL) == [], "who has left is nobody"
    rota.substitute_shift(row, substitute=None, actor=head)
    assert on_duty(ON_CALL) == [head.user]
    rota.cancel_shift(row, actor=head)
    assert on_duty(ON_CALL) == []
    assert RotaShift.objects.count() == 1 and row.history.count() >= 3
    for act in (rota.cancel_shift, lambda gone, actor: rota.substitute_shift(gone, substitute=None, actor=actor)):
        with pytest.raises(InvalidTransition):
            act(row, actor=head)


@pytest.mark.parametrize(
    "values, field",
    [
        ({"duty": "surgeon"}, "duty"),
        ({"ends_at": timezone.now() - timedelta(hours=2)}, "ends_at"),
        ({"ends_at": timezone.now() + timedelta(days=40)}, "ends_at"),
        ({"repeat_weeks": 27}, "repeat_weeks"),
    ],
)
def test_an_impossible_shift_is_refused(head: Any, values: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidData) as refusal:
        shift(head, **values)
    assert list(refusal.value.errors) == [field]
    assert RotaShift.objects.count() == 0


def test_nobody_stands_in_for_themselves_nor_twice(head: Any) -> None:
    with pytest.raises(InvalidData):
        shift(head, substitute=head.user)
    shift(head)
    with pytest.raises(InvalidData):
        shift(head)
    with pytest.raises(NotPermitted):
        rota.add_shift(
            duty=ON_CALL,
            user=head.user,
            starts_at=timezone.now(),
            ends_at=timezone.now() + timedelta(hours=1),
            actor=actor_with_roles("clerk"),
        )


def test_a_weekly_shift_keeps_its_hour(head: Any) -> None:
    shift(head, starts_at=at(20), ends_at=at(8, 1), repeat_weeks=3)
    rows = list(RotaShift.objects.order_by("starts_at"))
    assert len(rows) == 4
    assert {timezone.localtime(row.starts_at).hour for row in rows} == {20}
    assert rows[3].starts_at.date() - rows[0].starts_at.date() == timedelta(weeks=3)


def test_gaps_are_where_nobody_is(head: Any) -> None:
    duty = Duty.objects.get(code=ON_CALL)
    duty.staffed_from, duty.staffed_until = time(20), time(8)
    duty.save()
    shift(head, starts_at=at(20), ends_at=at(2, 1))
    shifts = rota.shifts_between(at(12), at(12, 2))
    gaps = rota.gaps_between(at(12), at(12, 2), duties=[duty], shifts=shifts)
    assert [(gap.starts_at, gap.ends_at) for gap in gaps] == [(at(2, 1), at(8, 1)), (at(20, 1), at(8, 2))]
    duty.must_be_staffed = False
    assert rota.gaps_between(at(12), at(12, 2), duties=[duty], shifts=shifts) == []


def test_the_page_shows_who_is_there_and_changes_it(tclient: Any, head: Any) -> None:
    other = user_with_roles("radiologist", given_name="James", family_name="Mutua")
    tclient.force_login(head.user)
    page = tclient.get("/rota/")
    assert [entry.is_gap for entry in page.context["now_on_duty"]].count(True) == 1
    form = {
        "duty": ON_CALL,
        "user": str(other.uuid),
        "starts_at": (timezone.localtime() - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M"),
        "ends_at": (timezone.localtime() + timedelta(hours=9)).strftime("%Y-%m-%dT%H:%M"),
        "week": timezone.localdate().isoformat(),
    }
    assert tclient.post("/rota/add/", form).status_code == 302
    row = RotaShift.objects.get()
    page = tclient.get("/rota/?week=nonsense")
    assert "James Mutua" in page.content.decode()
    assert not any(entry.is_gap for entry in page.context["now_on_duty"])
    assert tclient.post("/rota/add/", {**form, "user": ""}).status_code == 400
    assert tclient.post(f"/rota/{row.uuid}/substitute/", {"substitute": str(head.user.uuid)}).status_code == 302
    assert on_duty(ON_CALL) == [head.user]
    assert tclient.post(f"/rota/{row.uuid}/substitute/", {"substitute": "x"}).status_code == 400
    assert tclient.post(f"/rota/{row.uuid}/cancel/").status_code == 302
    assert on_duty(ON_CALL) == []
    tclient.force_login(user_with_roles("technologist"))
    assert tclient.get("/rota/").status_code == 200
    assert tclient.post(f"/rota/{row.uuid}/cancel/").status_code == 403
    tclient.force_login(user_with_roles("referring_physician"))
    assert tclient.get("/rota/").status_code == 403


def test_the_same_over_rest(api: Any, head: Any, beta: Any) -> None:
    api.force_authenticate(head.user)
    body = {
        "duty": ON_CALL,
        "user": str(head.user.uuid),
        "starts_at": timezone.now().isoformat(),
        "ends_at": (timezone.now() + timedelta(hours=3)).isoformat(),
    }
    made = api.post("/api/v1/rota-shifts/", body, format="json")
    assert made.status_code == 201
    now = {row["duty"]: row for row in api.get("/api/v1/on-duty/").data}
    assert [row["user"] for row in now[ON_CALL]["shifts"]] == [str(head.user.uuid)] and not now[ON_CALL]["is_gap"]
    with use_facility(beta):
        foreign = str(user_with_roles("radiologist").uuid)
    path = f"/api/v1/rota-shifts/{made.data['id']}"
    assert api.post(f"{path}/substitute/", {"substitute": foreign}, format="json").status_code == 400
    assert api.post(f"{path}/cancel/").data["cancelled_at"]
    assert api.post(f"{path}/cancel/").status_code == 409
    assert len(api.get("/api/v1/duties/").data["results"]) == len(rota.STARTERS)
    assert len(api.get(f"/api/v1/rota-shifts/?duty={ON_CALL}").data["results"]) == 1


def test_the_administration_goes_through_the_same_services(tclient: Any, head: Any) -> None:
    tclient.force_login(head.user)
    moment = timezone.localtime().replace(microsecond=0)
    form = {
        "duty": ON_CALL,
        "user": head.user.pk,
        "starts_at_0": moment.strftime("%Y-%m-%d"),
        "starts_at_1": moment.strftime("%H:%M:%S"),
        "ends_at_0": (moment + timedelta(days=1)).strftime("%Y-%m-%d"),
        "ends_at_1": moment.strftime("%H:%M:%S"),
        "note": "",
        "substitute": "",
    }
    assert tclient.post("/admin/notifications/rotashift/add/", {**form, "duty": "surgeon"}).status_code == 400
    assert tclient.post("/admin/notifications/rotashift/add/", form).status_code == 302
    row = RotaShift.objects.get()
    other = user_with_roles("radiologist")
    change = {name: value for name, value in form.items() if name not in ("duty", "user")}
    answer = tclient.post(
        f"/admin/notifications/rotashift/{row.pk}/change/", {**change, "substitute": other.pk, "note": "swap"}
    )
    assert answer.status_code == 302
    row.refresh_from_db()
    assert (row.substitute, row.note) == (other, "swap")
    action = {"action": "do_cancel_shift", "_selected_action": [row.pk]}
    tclient.post("/admin/notifications/rotashift/", action)
    assert on_duty(ON_CALL) == []
