"""Blinding, attacked: whoever reviews is told nothing of author, day, site and patient; whoever is reviewed, of whom.

Every page, answer, header, message and audit row that the person could reach is read whole, browser title included.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from orders.models import RequestedProcedure
from peerreview import services
from peerreview.models import Discrepancy, ReviewCase
from reporting.models import CoSignature
from ris.accounts.models import Site, User
from ris.core.actor import Actor
from tests.conftest import shared_start
from tests.factories.accounts import actor_with_roles
from tests.factories.reporting import make_procedure, make_referrer, signed

pytestmark = pytest.mark.django_db
SIGNED = datetime(2026, 3, 17, 8, 41, tzinfo=UTC)
FINDINGS = (
    "Seen with Dr Wanjiru and Dr Kiprono at Ziwa North on 2026-03-17 for ACHIENG OTIENO. "
    "Compared with 03/11/2025; called 0722 123 456. Nodule of 8 mm."
)


@pytest.fixture(scope="module")
def made(django_db_setup: None, django_db_blocker: Any) -> Iterator[SimpleNamespace]:
    """One report that names everybody it could, in a round; reviewed, disputed and upheld by people with rare names."""
    with shared_start(django_db_blocker):
        names = {"author": "Wanjiru", "cosigner": "Kiprono", "reviewer": "Barasa", "arbiter": "Chebet"}
        names["submitter"] = "Nekesa"
        people = {
            key: actor_with_roles("radiologist", given_name="Xola", family_name=name) for key, name in names.items()
        }
        lead = actor_with_roles("qa_lead")
        exam = make_procedure(requester=make_referrer().practitioner, images=1)
        exam.order.site = Site.objects.create(code="zn", name="Ziwa North")
        exam.order.save()
        with mock.patch("django.utils.timezone.now", return_value=SIGNED):
            report = signed(exam, actor=people["author"], findings=FINDINGS)
        version = report.versions.get()
        CoSignature.objects.create(report_version=version, signed_by=people["cosigner"].user, signer_name="x")
        RequestedProcedure.objects.filter(pk=exam.pk).update(performed_at=SIGNED, images_complete_at=SIGNED)
        review_round = services.create_round(
            name="Round",
            signed_from=SIGNED.date() - timedelta(days=50),  # the round's days shall not be the report's
            signed_until=SIGNED.date() + timedelta(days=50),
            mode="conference",
            per_reader=1,
            reviewers=[people["reviewer"].user],
            actor=lead,
        )
        services.launch_round(review_round, actor=lead)
        assert version.signed_at == SIGNED
        case = services.submit_learning(report, kind="perception", actor=people["submitter"])
        patient = exam.order.patient
        about = [patient.family_name, patient.given_name, str(patient.uuid), patient.identifiers.get().value]
        about += [exam.accession_number, exam.study_instance_uid, str(exam.uuid), str(exam.order.uuid)]
        about += [
            str(report.uuid),
            str(version.uuid),
            "Ziwa North",
            "2026-03-17",
            "17 Mar",
            "03/11/2025",
            "0722 123 456",
        ]
        yield SimpleNamespace(
            people={name: actor.user.pk for name, actor in people.items()},
            lead=lead.user.pk,
            round=str(review_round.uuid),
            report=str(report.uuid),
            learning=str(case.uuid),
            patient=str(patient.uuid),
            case=str(review_round.cases.get().uuid),
            about=about,
        )


def secrets_of(made: SimpleNamespace, *names: str) -> list[str]:
    users = User.objects.filter(pk__in=[made.people[name] for name in names])
    return [secret for user in users for secret in (user.family_name, user.username, str(user.uuid), user.email)]


def everything(tclient: Any, api: Any, user: User, paths: list[str]) -> dict[str, str]:
    """{address: headers and body} of what opens."""
    tclient.force_login(user)
    api.force_authenticate(user)
    found = {}
    for path in paths:
        answer = (api if path.startswith("/api/") else tclient).get(path)
        if answer.status_code == 200:
            body = b"".join(answer.streaming_content) if answer.streaming else answer.content
            found[path] = str(answer.headers) + body.decode()
    return found


def told(found: dict[str, str], secrets: list[str]) -> list[tuple[str, str]]:
    return [(path, secret) for path, words in found.items() for secret in secrets if secret in words]


def case_doors(made: SimpleNamespace) -> list[str]:
    page, rest = f"/peer-review/cases/{made.case}/", f"/api/v1/review-cases/{made.case}/"
    return [
        *("/", "/peer-review/", page, f"{page}images/", f"/peer-review/rounds/{made.round}/conference/"),
        *(rest, "/api/v1/review-cases/", "/api/v1/review-cases/?format=csv", "/api/v1/review-rounds/?format=csv"),
        *(f"/api/v1/review-rounds/{made.round}/", "/notifications/", "/api/v1/notifications/", "/peer-learning/"),
        "/peer-review/scorecards/",
    ]


def test_reviewer_and_arbiter_are_told_nothing_of_author_day_site_and_patient(made, alpha, tclient, api, dispatch):
    reviewer, arbiter = (User.objects.get(pk=made.people[name]) for name in ("reviewer", "arbiter"))
    secrets = [*made.about, *secrets_of(made, "author", "cosigner")]
    dispatch()
    found = everything(tclient, api, reviewer, case_doors(made))
    assert {"/", *case_doors(made)[1:6], "/notifications/"} <= set(found)
    assert "Nodule of 8 mm" in found[f"/peer-review/cases/{made.case}/"]
    assert "Nodule of 8 mm" in found[f"/api/v1/review-cases/{made.case}/"]
    assert told(found, secrets) == []
    case = ReviewCase.objects.get(uuid=made.case)
    comment = "As I, Xola Barasa, told Dr Wanjiru."
    services.score_case(case, score="3b", comment=comment, actor=Actor("web", user=reviewer))
    dispatch()
    found = everything(tclient, api, arbiter, case_doors(made))
    page = found[f"/peer-review/cases/{made.case}/"]
    assert "Nodule of 8 mm" in page and "told Dr" in page
    assert "A case of peer review waits for a third reader" in found["/notifications/"]
    assert told(found, [*secrets, *secrets_of(made, "reviewer")]) == []
    for name in ("author", "cosigner", "reviewer"):
        user = User.objects.get(pk=made.people[name])
        assert "waits for a third reader" not in everything(tclient, api, user, ["/notifications/"])["/notifications/"]


def test_an_ordering_or_a_filter_tells_nothing_either(made, alpha, api):
    """Rows that come in another order, or fewer of them, would say what is hidden."""
    api.force_authenticate(User.objects.get(pk=made.people["reviewer"]))
    route = "/api/v1/review-cases/"
    plain = api.get(route).data["results"]
    assert len(plain) == 1
    for hidden in ("report_version__signed_by", "report__signed_at", "report_version__signed_at", "reviewer"):
        assert api.get(route, {"ordering": hidden}).status_code in (200, 400)
        answer = api.get(route, {hidden: "0"})
        assert answer.status_code == 400 or answer.data["results"] == plain


@pytest.mark.parametrize("roles", [("radiologist",), ("radiologist", "qa_lead")])
def test_the_author_is_told_nothing_of_reviewer_and_arbiter(made, alpha, tclient, api, dispatch, roles):
    """Not even one who reads the audit trail, as the lead does."""
    reviewer, arbiter = (Actor("web", user=User.objects.get(pk=made.people[key])) for key in ("reviewer", "arbiter"))
    author = User.objects.get(pk=made.people["author"])
    author.roles.set(type(author.roles.first()).objects.filter(name__in=roles))
    author = User.objects.get(pk=author.pk)
    everything(tclient, api, reviewer.user, case_doors(made))
    case = ReviewCase.objects.get(uuid=made.case)
    services.score_case(case, score="3b", comment="Xola Barasa saw it.", actor=reviewer)
    everything(tclient, api, arbiter.user, case_doors(made))
    services.arbitrate_case(case, score="3b", comment="Chebet agrees.", actor=arbiter)
    dispatch()
    row = Discrepancy.objects.get()
    trail, admin = f"/audit/?patient={made.patient}", "/admin/audit/auditevent/"
    paths = [*case_doors(made), f"/peer-review/discrepancies/{row.uuid}/", f"/reports/{made.report}/"]
    paths += [f"/api/v1/review-discrepancies/{row.uuid}/", "/api/v1/review-discrepancies/?format=csv"]
    paths += [trail, f"/audit/?entity={made.case}", "/audit/?event_type=peerreview", "/api/v1/audit-events/", admin]
    paths += [f"/peer-review/rounds/{made.round}/", "/admin/peerreview/reviewcase/", f"/patients/{made.patient}/"]
    paths += [f"/fhir/r4/AuditEvent?patient=Patient/{made.patient}"]
    found = everything(tclient, api, author, paths)
    assert "saw it." in found[f"/peer-review/discrepancies/{row.uuid}/"]
    assert f"/reports/{made.report}/" in found
    leads = "qa_lead" in roles
    assert leads == (trail in found) == (admin in found)
    # whom a lead has drawn as reviewers is theirs to know; who of them had this report is not
    secrets = secrets_of(made, "arbiter") + ([] if leads else secrets_of(made, "reviewer"))
    assert told({path: words for path, words in found.items() if "udit" not in path}, secrets) == []
    trails = [trail, f"/audit/?entity={made.case}", f"/fhir/r4/AuditEvent?patient=Patient/{made.patient}"]
    assert all(leads == (path in found) for path in trails)
    kinds = ["peerreview.view_round", "peerreview.score_case", "peerreview.arbitrate_case"]
    # that they looked at their own discrepancy is there (view_round); of scoring and deciding is nothing
    assert told({path: words for path, words in found.items() if path in trails}, kinds[1:]) == []
    if leads:
        rows = api.get("/api/v1/audit-events/").data["results"]
        judges = {reviewer.user.username, arbiter.user.username}
        seen = [
            row for row in rows if row["user_name"] in judges and made.patient in (row["patient"], *row["patients"])
        ]
        assert not {row["event_type"] for row in seen} & {*kinds, "worklist.view_study"}


def test_who_submitted_a_case_to_learn_from_is_told_to_nobody(made, alpha, tclient, api):
    """The coordinator reads the audit trail too; the administrator, who prepares nothing, finds the row."""
    rows = ["/audit/?event_type=peerreview", "/api/v1/audit-events/?event_type=peerreview", "/admin/audit/auditevent/"]
    doors = ["/peer-learning/", f"/peer-learning/cases/{made.learning}/", f"/api/v1/learning-cases/{made.learning}/"]
    doors += ["/api/v1/learning-cases/?format=csv", "/admin/peerreview/learningcase/", f"/reports/{made.report}/"]
    lead, author = User.objects.get(pk=made.lead), User.objects.get(pk=made.people["author"])
    found = everything(tclient, api, lead, [*rows, *doors])
    assert {*rows, *doors[:5]} <= set(found)
    assert told(found, secrets_of(made, "submitter")) == []
    assert told(everything(tclient, api, author, [*rows, *doors]), secrets_of(made, "submitter")) == []
    found = everything(tclient, api, actor_with_roles("it_admin").user, rows)
    assert all("peerreview.submit_learning" in found[path] for path in rows)
