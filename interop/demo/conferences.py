"""Peer learning in the demo: one conference that was held, one that is planned, a case that nobody has prepared yet."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from peerreview import services
from peerreview.models import Conference, LearningCase
from peerreview.services.learning import whose_words
from reporting.deidentify import left_over
from reporting.models import Report, ReportStatus
from reporting.services.teaching import known_of
from ris.accounts.models import User
from ris.core.actor import Actor

#: (what it teaches, discussion, learning points)
CASES = (
    (
        "great_call",
        "The finding lies at the edge of the volume, outside the region that the question was about.",
        "Read the first and the last slices too\nThe scout is an image: look at it",
    ),
    (
        "perception",
        "It is seen on one slice in the soft tissue window and on four in the bone window.",
        "Every exam in all of its windows\nA second pass without the question in mind",
    ),
    (
        "interpretation",
        "Seen and described, taken for what is common at this age. The earlier exam decides it.",
        "Compare before you name\nSay how sure you are",
    ),
    (
        "communication",
        "The impression is right; the recommendation stands in the findings, where nobody looks for it.",
        "What to do stands in the impression\nOne sentence, one recommendation",
    ),
)
NOT_PREPARED = "technique"
LOOKED_AT = 20


def seed_conferences(people: Mapping[str, User]) -> None:
    """Once, of reports that the lead has not signed."""
    if Conference.objects.exists() or LearningCase.objects.exists():
        return
    lead, submitters = Actor("web", people["qa"]), (people["mutua"], people["resident"])
    signed = Report.objects.filter(status__in=(ReportStatus.FINAL, ReportStatus.APPENDED)).exclude(
        signed_by=people["qa"]
    )
    words = "\n".join(text for case in CASES for text in case)
    reports = [row for row in signed.order_by("-pk")[:LOOKED_AT] if not left_over(words, known_of(row))]
    if len(reports) <= len(CASES):
        return
    today, ready = timezone.localdate(), []
    for place, (kind, discussion, points) in enumerate(CASES):
        case = services.submit_learning(reports[place], kind=kind, actor=Actor("web", submitters[place % 2]))
        if whose_words(case):
            continue
        services.take_images(case, actor=lead)
        ready.append(services.prepare_learning(case, discussion=discussion, points=points, is_read=True, actor=lead))
    services.submit_learning(reports[len(CASES)], kind=NOT_PREPARED, actor=Actor("web", submitters[0]))
    if len(ready) < len(CASES):
        return
    for days, cases in ((-14, ready[:2]), (7, ready[2:])):
        conference = services.plan_conference(
            title=_("Learning conference"), held_on=today + timedelta(days=days), place=_("Seminar room"), actor=lead
        )
        entries = [services.add_to_conference(conference, case=case, actor=lead) for case in cases]
        if days < 0:
            for entry in entries:
                services.tick_entry(entry, shown=True, actor=lead)
            services.hold_conference(conference, actor=lead)
    services.give_feedback(
        ready[0], text=_("A fine find: it changed the treatment. Shown at the conference."), actor=lead
    )
