"""Who sees what of peer review and peer learning, tried with every role at every door: pages, REST, administration."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from peerreview import services
from peerreview.models import Discrepancy
from ris.accounts.models import User
from ris.core.permissions import ROLES
from tests.conftest import shared_start
from tests.factories.accounts import actor_with_roles
from tests.factories.reporting import signed

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def made(django_db_setup: None, django_db_blocker: Any) -> Iterator[SimpleNamespace]:
    """An upheld case and a running one; a learning case with feedback, on a conference."""
    with shared_start(django_db_blocker):
        people = {role: actor_with_roles(role) for role in ROLES}
        for name in ("author", "reviewer", "arbiter", "submitter"):
            people[name] = actor_with_roles("radiologist")
        lead, today = people["qa_lead"], timezone.localdate()
        for _number in range(2):
            report = signed(actor=people["author"])
        review_round = services.create_round(
            name="Round",
            mode="conference",
            signed_from=today - timedelta(days=1),
            signed_until=today + timedelta(days=1),
            per_reader=2,
            reviewers=[people["reviewer"].user],
            actor=lead,
        )
        services.launch_round(review_round, actor=lead)
        upheld, running = review_round.cases.order_by("position")
        services.score_case(upheld, score="3b", comment="Missed.", actor=people["reviewer"])
        services.arbitrate_case(upheld, score="3b", comment="Yes.", actor=people["arbiter"])
        case = services.submit_learning(report, kind="perception", actor=people["submitter"])
        services.prepare_learning(case, is_read=True, actor=lead)
        services.give_feedback(case, text="Look twice.", actor=lead)
        conference = services.plan_conference(title="C", held_on=today, actor=lead)
        services.add_to_conference(conference, case=case, actor=lead)
        yield SimpleNamespace(
            people={name: actor.user.pk for name, actor in people.items()},
            paths=_paths(review_round, upheld, running, Discrepancy.objects.get(), case, conference),
        )


def _paths(review_round, upheld, running, found, case, conference) -> dict[str, str]:
    page, rest, admin = "/peer-review/", "/api/v1/", "/admin/peerreview/"
    return {
        "list": page,
        "round": f"{page}rounds/{review_round.uuid}/",
        "new round": f"{page}rounds/new/",
        "conference round": f"{page}rounds/{review_round.uuid}/conference/",
        "import": f"{page}import/",
        "scorecards": f"{page}scorecards/",
        "export": f"{page}scorecards/export/",
        "running case": f"{page}cases/{running.uuid}/",
        "its images": f"{page}cases/{running.uuid}/images/",
        "upheld case": f"{page}cases/{upheld.uuid}/",
        "pass on": f"{page}cases/{running.uuid}/reassign/",
        "discrepancy": f"{page}discrepancies/{found.uuid}/",
        "learning": "/peer-learning/",
        "learning case": f"/peer-learning/cases/{case.uuid}/",
        "feedback": f"/peer-learning/feedback/{case.uuid}/",
        "conference": f"/peer-learning/conferences/{conference.uuid}/",
        "presentation": f"/peer-learning/conferences/{conference.uuid}/show/",
        "new conference": "/peer-learning/conferences/new/",
        "rest rounds": f"{rest}review-rounds/",
        "rest round": f"{rest}review-rounds/{review_round.uuid}/",
        "rest case": f"{rest}review-cases/{running.uuid}/",
        "rest discrepancy": f"{rest}review-discrepancies/{found.uuid}/",
        "rest learning": f"{rest}learning-cases/",
        "rest learning case": f"{rest}learning-cases/{case.uuid}/",
        "rest feedback": f"{rest}learning-feedback/{case.uuid}/",
        "rest conference": f"{rest}conferences/{conference.uuid}/cases/",
        "admin round": f"{admin}reviewround/{review_round.pk}/change/",
        "admin case": f"{admin}reviewcase/{running.pk}/change/",
        "admin discrepancy": f"{admin}discrepancy/{found.pk}/change/",
        "admin learning": f"{admin}learningcase/{case.pk}/change/",
        "admin conference": f"{admin}conference/{conference.pk}/change/",
    }


SHOWN = {"learning", "conference", "presentation", "rest learning", "rest conference"}
READER = SHOWN | {"scorecards"}
RADIOLOGIST = READER | {"list", "rest rounds"}
LEAD = RADIOLOGIST | {
    *("round", "new round", "conference round", "import", "export", "pass on", "discrepancy"),
    *("learning case", "new conference", "rest round", "rest case", "rest discrepancy", "rest learning case"),
    *("admin round", "admin case", "admin discrepancy", "admin learning", "admin conference"),
}
OPENED = {
    "qa_lead": LEAD,
    "author": RADIOLOGIST | {"discrepancy", "rest discrepancy", "feedback", "rest feedback"},
    "reviewer": RADIOLOGIST
    | {"conference round", "running case", "its images", "upheld case", "rest round", "rest case"},
    "arbiter": RADIOLOGIST,
    "submitter": RADIOLOGIST | {"rest learning case"},
    "radiologist": RADIOLOGIST,
    "resident": READER,
    "technologist": SHOWN,
}


@pytest.mark.parametrize("name", [*ROLES, "author", "reviewer", "arbiter", "submitter"])
def test_everybody_opens_their_own_doors_and_no_other(made, alpha, tclient, api, name):
    user = User.objects.get(pk=made.people[name])
    tclient.force_login(user)
    api.force_authenticate(user)
    answers = {
        door: (api if door.startswith("rest") else tclient).get(path).status_code for door, path in made.paths.items()
    }
    assert {door for door, code in answers.items() if code == 200} == OPENED.get(name, set()), answers
    assert set(answers.values()) <= {200, 302, 403, 404}
