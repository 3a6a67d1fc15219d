"""What a house that runs already has beside its exams: a system that results go to, and a round of second looks."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from interop.demo.house import SEEDER
from interop.hl7 import services as hl7
from interop.models import Hl7Destination
from peerreview import services as peerreview
from peerreview.models import CaseStatus, Category, Discrepancy, ReviewRound, Score
from peerreview.permissions import ANSWER_DISCREPANCY
from reporting.models import DeliveryRule, ExternalViewer
from reporting.services.launch import save_external_viewer
from ris.accounts.models import User
from ris.core.actor import Actor

#: Where ``manage.py listen_hl7 --port 6661`` would stand in for a hospital's system
HOSPITAL = {"name": "hospital", "host": "127.0.0.1", "port": 6661}


def ensure_destination() -> None:
    """Nobody listens there unless somebody starts the receiver, so it is paused, and no exam waits for its answer."""
    if Hl7Destination.objects.filter(name=HOSPITAL["name"]).exists():
        return
    destination = hl7.add_destination(
        messages=["ORU"],
        receiving_application="HIS",
        receiving_facility="HOSPITAL",
        ack_timeout_seconds=5,
        actor=SEEDER,
        **HOSPITAL,
    )
    hl7.pause_destination(destination, reason=_("Nobody listens in the demo"), actor=SEEDER)
    rule = DeliveryRule.objects.get(channel="hl7", destination=destination.name)
    rule.is_mandatory = False
    rule.save_as(SEEDER, "Demo")


def ensure_viewer_links() -> None:
    """As a site would write them; switched off, for no other viewer runs in the demo."""
    addresses = {
        "OHIF": "https://viewer.example/viewer?StudyInstanceUIDs={study_uid}#token={token}",
        "Weasis": "weasis://%24dicom%3Ars%20--url%20https%3A%2F%2Fris.example%2Fdicomweb%20-r%20studyUID%3D{study_uid}"
        "%20-H%20Authorization%3A%20Bearer%20{token}",
    }
    for position, (name, address) in enumerate(addresses.items()):
        if not ExternalViewer.objects.filter(name=name).exists():
            link = ExternalViewer(name=name, url_template=address, position=position, is_active=False)
            save_external_viewer(link, actor=SEEDER)


def ensure_review_round(people: dict[str, User]) -> None:
    """One round of the last three weeks, with cases in each state."""
    if ReviewRound.objects.exists():
        return
    today = timezone.localdate()
    lead = Actor("web", user=people["qa"])
    review_round = peerreview.create_round(
        name=_("Second looks, %(month)s") % {"month": date_format(today, "F Y")},
        signed_from=today - timedelta(days=28),
        signed_until=today,
        reviewers=[people["radiologist"], people["mutua"]],
        percent=40,
        seed=7,
        due_on=today + timedelta(days=14),
        actor=lead,
    )
    if not any(peerreview.sample(review_round)):
        return
    review_round = peerreview.launch_round(review_round, actor=lead)
    _second_looks(review_round, people)


#: (score, comment, kind, whether an arbiter upheld it)
VERDICTS = (
    (Score.CONCUR, "", "", False),
    (
        Score.UNDERSTANDABLE_B,
        "The small effusion is not mentioned; it changes the follow-up.",
        Category.PERCEPTUAL,
        False,
    ),
    (
        Score.MOST_OF_TIME_B,
        "A fracture of the left transverse process is seen on three slices.",
        Category.PERCEPTUAL,
        True,
    ),
)


def _second_looks(review_round: ReviewRound, people: dict[str, User]) -> None:
    """A case in each state: agreed, before the arbiter, upheld with its addendum; the rest wait for their reviewers."""
    reviewer, lead = Actor("web", user=people["mutua"]), Actor("web", user=people["qa"])
    waiting = review_round.cases.filter(reviewer=people["mutua"], status=CaseStatus.ASSIGNED).order_by("pk")
    for case, (score, comment, kind, upheld) in zip(list(waiting)[:-1], VERDICTS, strict=False):
        case = peerreview.score_case(case, score=score, comment=comment, category=kind, actor=reviewer)
        author = case.report_version.signed_by
        if not upheld or author is None or not author.may(ANSWER_DISCREPANCY):
            continue
        peerreview.arbitrate_case(case, score=score, comment=_("Agreed; seen in hindsight."), actor=lead)
        discrepancy = Discrepancy.objects.get(case=case)
        words = _("On second look there is a fracture of the left transverse process. Follow-up advised.")
        peerreview.addend_discrepancy(discrepancy, text=words, actor=Actor("web", user=author))
