"""Who sees what of peer review and peer learning, tried with every role at every door: pages, REST, administration."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.urls import reverse
from django.utils import timezone
from rest_framework.routers import SimpleRouter

from interop.imaging.urls import urlpatterns as pictures
from peerreview import services
from peerreview.api.urls import register
from peerreview.models import Discrepancy
from peerreview.web.urls import urlpatterns as pages
from ris.accounts.models import User
from ris.core.permissions import ROLES, permissions
from tests.conftest import shared_start
from tests.factories.accounts import actor_with_roles
from tests.factories.reporting import signed

pytestmark = pytest.mark.django_db
PARTIES = ("author", "reviewer", "arbiter", "submitter", "leading author")


@pytest.fixture(scope="module")
def made(django_db_setup: None, django_db_blocker: Any) -> Iterator[SimpleNamespace]:
    """An upheld case, one before an arbiter and one that waits; a learning case with feedback, on a conference."""
    with shared_start(django_db_blocker):
        people = {role: actor_with_roles(role) for role in ROLES}
        for name in PARTIES[:-1]:
            people[name] = actor_with_roles("radiologist")
        people["leading author"] = actor_with_roles("radiologist", "qa_lead")
        lead, today = people["qa_lead"], timezone.localdate()
        of_lead = signed(actor=people["leading author"])
        for _number in range(3):
            report = signed(actor=people["author"])
        plan = {"signed_from": today - timedelta(days=1), "signed_until": today + timedelta(days=1), "actor": lead}
        plan |= {"mode": "conference", "reviewers": [people["reviewer"].user]}
        row = services.create_round(name="Round", per_reader=3, **plan)
        draft = services.create_round(name="Draft", per_reader=1, **plan)
        services.launch_round(row, actor=lead)
        leads, upheld, disputed, running = row.cases.order_by("report_id")
        assert leads.report_id == of_lead.pk
        for case in (upheld, disputed):
            services.score_case(case, score="3b", comment="Missed.", actor=people["reviewer"])
        services.arbitrate_case(upheld, score="3b", comment="Yes.", actor=people["arbiter"])
        found = Discrepancy.objects.get()
        case = services.submit_learning(report, kind="perception", actor=people["submitter"])
        services.prepare_learning(case, is_read=True, actor=lead)
        services.give_feedback(case, text="Look twice.", actor=lead)
        conference = services.plan_conference(title="C", held_on=today, actor=lead)
        entry = services.add_to_conference(conference, case=case, actor=lead)
        rows = SimpleNamespace(
            round=row, draft=draft, running=running, disputed=disputed, upheld=upheld, leads=leads, found=found
        )
        rows.case, rows.conference, rows.entry, rows.report, rows.author = (
            case,
            conference,
            entry,
            report,
            people["author"],
        )
        yield SimpleNamespace(
            people={name: actor.user.pk for name, actor in people.items()}, doors=_doors(rows), acts=_acts(rows)
        )


def _doors(made: SimpleNamespace) -> dict[str, str]:
    """What is opened by GET."""
    page, rest, admin, learning = "/peer-review/", "/api/v1/", "/admin/peerreview/", "/peer-learning/"
    round_of, case_of = f"{page}rounds/{made.round.uuid}/", f"{page}cases/{made.running.uuid}/"
    rest_round, conference = f"{rest}review-rounds/{made.round.uuid}/", f"conferences/{made.conference.uuid}/"
    doors = {
        "list": page,
        "round": round_of,
        "new round": f"{page}rounds/new/",
        "conference round": f"{round_of}conference/",
        "import": f"{page}import/",
        "scorecard": f"{page}scorecards/",
        "scorecard of another": f"{page}scorecards/?reader={made.author.user.uuid}",
        "export": f"{page}scorecards/export/",
        "running case": case_of,
        "its images": f"{case_of}images/",
        "disputed case": f"{page}cases/{made.disputed.uuid}/",
        "upheld case": f"{page}cases/{made.upheld.uuid}/",
        "pass on": f"{case_of}reassign/",
        "pass on the lead's": f"{page}cases/{made.leads.uuid}/reassign/",
        "discrepancy": f"{page}discrepancies/{made.found.uuid}/",
        "learning": learning,
        "learning case": f"{learning}cases/{made.case.uuid}/",
        "feedback": f"{learning}feedback/{made.case.uuid}/",
        "conference": learning + conference,
        "presentation": f"{learning}{conference}show/",
        "new conference": f"{learning}conferences/new/",
        "rest rounds": f"{rest}review-rounds/",
        "rest round": rest_round,
        "rest preview": f"{rest}review-rounds/{made.draft.uuid}/preview/",
        "rest results": f"{rest_round}results/",
        "rest scorecard": f"{rest}review-rounds/scorecard/",
        "rest scorecard of another": f"{rest}review-rounds/scorecard/?reader={made.author.user.uuid}",
        "rest cases": f"{rest}review-cases/",
        "rest case": f"{rest}review-cases/{made.running.uuid}/",
        "rest case of the lead": f"{rest}review-cases/{made.leads.uuid}/",
        "rest disputed case": f"{rest}review-cases/{made.disputed.uuid}/",
        "rest to arbitrate": f"{rest}review-cases/to-arbitrate/",
        "rest discrepancies": f"{rest}review-discrepancies/",
        "rest discrepancy": f"{rest}review-discrepancies/{made.found.uuid}/",
        "rest learning": f"{rest}learning-cases/",
        "rest learning case": f"{rest}learning-cases/{made.case.uuid}/",
        "rest statistics": f"{rest}learning-cases/statistics/",
        "rest feedbacks": f"{rest}learning-feedback/",
        "rest feedback": f"{rest}learning-feedback/{made.case.uuid}/",
        "rest conferences": f"{rest}conferences/",
        "rest conference": rest + conference,
        "rest conference cases": f"{rest}{conference}cases/",
    }
    rows = {"reviewround": made.round, "reviewcase": made.running, "discrepancy": made.found}
    rows |= {"learningcase": made.case, "conference": made.conference}
    for name, row in rows.items():
        doors |= {f"admin {name}s": f"{admin}{name}/", f"admin {name}": f"{admin}{name}/{row.pk}/change/"}
        doors[f"history {name}"] = f"{admin}{name}/{row.pk}/history/"
    doors |= {
        "admin scales": f"{admin}scalegrade/",
        "admin case of the lead": f"{admin}reviewcase/{made.leads.pk}/change/",
    }
    return doors


def _acts(made: SimpleNamespace) -> dict[str, str]:
    """What is done by POST; nothing is said in it, so whoever may is told what is missing."""
    rows: dict[str, Any] = {
        "review_round": made.round, "review_case": made.running, "review_discrepancy": made.found,
        "learning_case": made.case, "learning_feedback": made.case, "conference": made.conference,
    }  # fmt: skip
    rows |= {"review_addend": made.found, "review_decline": made.found, "review_resolve": made.found}
    rows |= {"review_ad_hoc": made.report, "learning_submit": made.report, "conference_entry": made.entry}
    rows |= dict.fromkeys(("learning_images", "learning_decline", "learning_tell"), made.case)
    found = {}
    for pattern in pages:
        if "<" not in str(pattern.pattern):
            continue
        name = max((key for key in rows if pattern.name.startswith(key)), key=len)
        found[pattern.name] = reverse(pattern.name, args=[rows[name].uuid])
    router = SimpleRouter()
    register(router)
    things = {"review-rounds": made.round, "review-cases": made.running, "review-discrepancies": made.found}
    things |= {"learning-cases": made.case, "learning-feedback": made.case, "conferences": made.conference}
    for prefix, viewset, _basename in router.registry:
        found[f"rest {prefix} create"] = f"/api/v1/{prefix}/"
        for extra in viewset.get_extra_actions():
            at = f"{things[prefix].uuid}/" if extra.detail else ""
            found[f"rest {prefix} {extra.__name__}"] = f"/api/v1/{prefix}/{at}{extra.url_path}/"
    return found


SHOWN = {"learning", "conference", "presentation", "rest learning", "rest statistics", "rest feedbacks"}
SHOWN |= {"rest conferences", "rest conference", "rest conference cases"}
READER = SHOWN | {"scorecard", "rest scorecard"}
ARBITER = {"disputed case", "rest disputed case"}
RADIOLOGIST = READER | {"rest to arbitrate"} | {"list", "rest rounds", "rest cases", "rest discrepancies"}
LEADS = {"round", "new round", "import", "export", "scorecard of another", "conference round", "new conference"}
LEADS |= {"rest round", "rest preview", "rest results", "rest scorecard of another", "admin scales"}
LEADS |= {"admin reviewrounds", "admin reviewround", "history reviewround", "admin reviewcases", "admin discrepancys"}
LEADS |= {"admin learningcases", "admin conferences", "admin conference", "history conference"}
OF_OTHERS = {"pass on", "discrepancy", "rest case", "rest discrepancy", "admin reviewcase", "history reviewcase"}
OF_OTHERS |= {"admin discrepancy", "history discrepancy", "learning case", "rest learning case", "admin learningcase"}
OF_THE_LEAD = {"pass on the lead's", "rest case of the lead", "admin case of the lead"}
OPENED = {
    "qa_lead": RADIOLOGIST | LEADS | OF_OTHERS | OF_THE_LEAD | ARBITER,
    "leading author": RADIOLOGIST | LEADS | OF_OTHERS | ARBITER,
    "author": RADIOLOGIST | {"scorecard of another", "rest scorecard of another"}  # their own
    | {"discrepancy", "rest discrepancy", "feedback", "rest feedback"},
    "reviewer": RADIOLOGIST
    | {"conference round", "running case", "its images", "upheld case", "rest round", "rest case"}
    | {"rest case of the lead"}
    | ARBITER,
    "arbiter": RADIOLOGIST | ARBITER,
    "submitter": RADIOLOGIST | ARBITER | {"rest learning case"},
    "radiologist": RADIOLOGIST | ARBITER,
    "resident": READER,
    "technologist": SHOWN,
}  # fmt: skip

#: Beside what is one's own to do. An addendum on a page asks for the password first: 403 for everybody.
SUBMITTERS = {"learning_submit", "rest learning-cases create"}
SCORERS = SUBMITTERS | {"review_ad_hoc", "rest review-cases create"}
COORDINATORS = SUBMITTERS | {"learning_case", "learning_images", "learning_decline", "learning_tell", "conference"}
COORDINATORS |= {"conference_add", "conference_end", "conference_entry", "rest conferences create"}
COORDINATORS |= {f"rest learning-cases {name}" for name in ("prepare", "images", "decline", "feedback")}
COORDINATORS |= {f"rest conferences {name}" for name in ("add", "move", "tick", "remove", "hold", "cancel")}
ROUND_ACTS = {"launch", "close", "due", "remind"}
CASE_ACTS = {"rest review-cases swap", "rest review-cases place", "review_case_act", "review_case_swap"}
MANAGERS = {f"review_round_{name}" for name in ROUND_ACTS} | {f"rest review-rounds {name}" for name in ROUND_ACTS}
MANAGERS |= {"rest review-rounds create", "rest review-rounds import_scores", "review_case_reassign"}
MANAGERS |= {"rest review-cases reassign", "review_resolve", "rest review-discrepancies resolve", *CASE_ACTS}
#: Visible to a lead who is a radiologist too; that it is somebody else's, the answer says (400, 409)
REFUSED_IN_WORDS = {"review_decline", "rest review-discrepancies decline", "rest review-discrepancies addendum"}
REFUSED_IN_WORDS |= {"rest review-cases impression", "rest review-cases score"}
DONE = {
    "qa_lead": MANAGERS | COORDINATORS,
    "leading author": MANAGERS | COORDINATORS | SCORERS | REFUSED_IN_WORDS,
    "author": SCORERS | {"review_decline", "learning_feedback", "rest learning-feedback acknowledge"}
    | {"rest review-discrepancies addendum", "rest review-discrepancies decline"},
    "reviewer": SCORERS | CASE_ACTS
    | {"review_case", "rest review-cases impression", "rest review-cases score"},
    **dict.fromkeys(("arbiter", "submitter", "radiologist"), SCORERS),
    **dict.fromkeys(("resident", "technologist"), SUBMITTERS),
}  # fmt: skip
#: Right of the role, but nothing there that it may be done to
NOTHING_THERE = {404, 405}


@pytest.mark.parametrize("name", [*ROLES, *PARTIES])
def test_everybody_opens_their_own_doors_and_no_other(made, alpha, tclient, api, name):
    user = User.objects.get(pk=made.people[name])
    tclient.force_login(user)
    api.force_authenticate(user)
    answers = {
        door: (api if door.startswith("rest") else tclient).get(path).status_code for door, path in made.doors.items()
    }
    assert {door for door, code in answers.items() if code == 200} == OPENED.get(name, set()), answers
    assert set(answers.values()) <= {200, 302, 403, 404}
    if not any(user.may(code) for code in permissions() if code.startswith("peerreview.")):
        assert name not in OPENED and name not in DONE
        return  # without any of its rights every act is refused before it is looked at
    answers = {}
    for act, path in made.acts.items():
        if act.startswith("rest"):
            answers[act] = api.post(path, {}, format="json").status_code
        else:
            answers[act] = tclient.post(path, {}).status_code
    done = {act for act, code in answers.items() if code not in (403, *NOTHING_THERE)}
    assert done == DONE.get(name, set()), answers
    assert max(answers.values()) < 500


def test_no_page_is_left_out(made):
    """A page that is new has to be named above: by whom is it opened, or what is done there?"""
    opened = {path.partition("?")[0] for path in (*made.doors.values(), *made.acts.values())}
    for pattern in pages:
        at = f"/{pattern.pattern}"
        if "<" not in at:
            assert at in opened, at
    assert {row.name for row in pictures if "peer-" in str(row.pattern)} == {"review_case_picture", "learning_picture"}
    assert reverse("review_case_picture", args=[uuid4(), 0, 1]) and reverse("learning_picture", args=[uuid4(), 1])
