"""Every page and REST address of reporting, asked with identifiers of what the caller may not see.

The patient became restricted after everything about them was written. A radiologist without a grant and a referring
physician who never asked for the exam try every door; none opens, none tells a state, and nothing is written.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone
from rest_framework.test import APIClient

from orders.models import Patient
from reporting import services
from reporting.models import CriticalResult, Report, ReportDelivery, ReportVersion, TeachingCase
from reporting.selectors.search import ReportSearch
from reporting.services.followups import recommend
from reporting.services.search import save_search
from reporting.services.teaching import keep_case
from ris.events.models import OutboxEvent
from tests.factories.reporting import make_procedure, make_referrer, signed

pytestmark = pytest.mark.django_db
#: Refused by right, not there, not that way; a body that is read before the row is looked for.
CLOSED = (400, 403, 404, 405, 415, 422)
#: What an address is about, by its beginning; what is not named here belongs to no patient.
ABOUT = {
    "reports/search/": "search",
    "report-searches/": "search",
    "reports/": "report",
    "viewer/reports/": "report",
    "reading/exams/": "exam",
    "reading-list/": "exam",
    "viewer/exams/": "exam",
    "critical/raise/": "exam",
    "critical/displays/": "",
    "critical/": "critical",
    "critical-results/": "critical",
    "teaching/images/": "",
    "teaching/": "case",
    "teaching-cases/": "case",
    "results/": "delivery",
    "deliveries/": "delivery",
    "follow-ups/": "follow-up",
}


def _walk(patterns: Any, before: str = "") -> Any:
    for pattern in patterns:
        route = before + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from _walk(pattern.url_patterns, route)
        elif "uuid" in route:
            view = getattr(pattern.callback, "cls", None) or pattern.callback
            if view.__module__.startswith("reporting.") and route.count("(?P<") < 2:
                yield route


def addresses() -> set[tuple[str, str]]:
    """(address with a gap, what it is about)."""
    found = set()
    for route in _walk(get_resolver().url_patterns):
        address = route.replace("(?P<uuid>[^/.]+)", "{}").replace("<uuid:uuid>", "{}").replace("^", "").rstrip("$")
        about = next((kind for start, kind in ABOUT.items() if address.removeprefix("api/v1/").startswith(start)), "")
        if about:
            found.add((f"/{address}", about))
    return found


@pytest.fixture
def hidden(people: Any) -> SimpleNamespace:
    procedure = make_procedure(requester=people.referrer.practitioner)
    report = signed(procedure, actor=people.radiologist)
    critical = services.raise_critical_result(
        procedure, report=report, category=1, finding="Bleeding", actor=people.radiologist
    )
    due = recommend(
        report,
        due_on=timezone.localdate(),
        reason="Again",
        modality="CT",
        body_region="chest",
        actor=people.radiologist,
    )
    rows = {
        "report": report,
        "exam": procedure,
        "critical": critical,
        "case": keep_case(report, diagnosis="Bleeding", actor=people.radiologist),
        "search": save_search(name="Mine", search=ReportSearch(words="bleeding"), actor=people.radiologist),
        "delivery": ReportDelivery.objects.filter(report=report).first(),
        "follow-up": due,
    }
    Patient.objects.filter(pk=report.patient.pk).update(is_restricted=True)
    return SimpleNamespace(**{"uuids": {kind: str(row.uuid) for kind, row in rows.items()}, "rows": rows})


def _state() -> list[Any]:
    counted = [model.objects.count() for model in (ReportVersion, CriticalResult, ReportDelivery, OutboxEvent)]
    return [*counted, *Report.objects.values_list("status", "version"), *TeachingCase.objects.values_list("version")]


@pytest.mark.parametrize("who", ["radiologist", "referrer"])
def test_no_door_opens_to_what_one_may_not_see(people, hidden, who):
    actor = people.other if who == "radiologist" else make_referrer().actor
    page, rest = Client(HTTP_HOST="alpha.test"), APIClient(HTTP_HOST="alpha.test")
    page.force_login(actor.user)
    rest.force_authenticate(actor.user)
    asked, before = sorted(addresses()), _state()
    assert len(asked) > 100
    opened = []
    for address, about in asked:
        target = address.format(hidden.uuids[about])
        door: Any = rest if address.startswith("/api/") else page
        answers = [door.post(target, {"reason": "x"})]
        if who == "radiologist":
            answers.append(door.get(target))
        if door is rest and address.count("/") == 5:  # the row itself, no action on it
            answers += [door.patch(target, {}, format="json"), door.delete(target)]
        opened += [f"{address}: {row.status_code}" for row in answers if row.status_code not in CLOSED]
    assert opened == []
    assert _state() == before
