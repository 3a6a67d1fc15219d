"""Peer learning: a report submitted to learn from, read and made ready without names, its author told in private."""

from __future__ import annotations

from dataclasses import replace

from django.utils import timezone
from django.utils.translation import gettext as _

from orders.models import Modality
from peerreview import permissions as perms
from peerreview.events import FeedbackGiven, LearningCaseDeclined, LearningCaseSubmitted
from peerreview.models import Category, LearningCase, LearningKind, LearningStatus
from reporting.deidentify import Known, left_over, replaced
from reporting.models import SECTIONS, Report, ReportVersion
from reporting.parts import is_part
from reporting.services.teaching import KINDS, age_band, keep_case, known_of
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidData, InvalidTransition, NotPermitted
from ris.events.bus import publish

L = LearningStatus
WRITTEN = ("title", "question", "text", "discussion", "points")
LONGEST, LONGEST_NOTE = 20000, 1000
#: What a reviewer's kind of discrepancy teaches
KIND_OF = {
    Category.PERCEPTUAL: LearningKind.PERCEPTION,
    Category.INTERPRETIVE: LearningKind.INTERPRETATION,
    Category.COMMUNICATION: LearningKind.COMMUNICATION,
    Category.PROCEDURAL: LearningKind.TECHNIQUE,
}


@service(perms.SUBMIT_LEARNING, action=Action.CREATE)
def submit_learning(report: Report, *, kind: str, note: str = "", actor: Actor) -> LearningCase:
    """Worth learning from. Who submits is kept, and told to nobody: neither coordinator nor author."""
    if actor.user is None:
        raise NotPermitted(_("A person submits what others learn from."))
    if kind not in LearningKind.values:
        raise InvalidData(_("There is no such kind."), errors={"kind": _("Choose one of the list.")})
    version = report.versions.filter(recall__isnull=True).exclude(signed_by=None).order_by("-number").first()
    if version is None or not report.is_signed:
        raise InvalidTransition(_("This report is not signed."), todo=_("Only signed reports are learned from."))
    if LearningCase.objects.filter(report_version=version, submitted_by=actor.user).exists():
        raise Conflict(_("You have submitted this report already."))
    exam = report.first_procedure
    patient, known = exam.order.patient, known_of(report)
    case = LearningCase(
        report=report,
        report_version=version,
        author=version.signed_by,
        submitted_by=actor.user,
        kind=kind,
        note=" ".join(note.split())[:LONGEST_NOTE],
        title=without_names(str(exam.description), known)[:120],
        modality=exam.modality if exam.modality in Modality.values else Modality.OT,
        age_band=age_band(patient.age_on(timezone.localdate(version.signed_at))),
        sex=patient.sex,
        question=without_names(exam.order.indication, known),
        text=without_names(_words_of(version), known),
    )
    case.save_as(actor, "Submitted")
    publish(LearningCaseSubmitted(str(case.uuid), version=case.version), actor=actor)
    return case


def without_names(words: str, known: Known) -> str:
    return replaced(words, known, {kind: str(word) for kind, word in KINDS.items()})


def _words_of(version: ReportVersion) -> str:
    """The sections under their headings."""
    said = version.sections
    pieces = [
        f"{label}\n{said[name].strip()}" for name, (_code, label) in SECTIONS.items() if said.get(name, "").strip()
    ]
    more = [words for name, words in said.items() if name not in SECTIONS and not is_part(name) and words]
    return "\n\n".join([*pieces, *more])


def known_to(case: LearningCase) -> Known:
    """Whom no text of the case may name: the people of the exam, and who submitted it."""
    known = known_of(case.report)
    people = [case.submitted_by, case.author]
    return replace(known, people=(*known.people, *(f"{row.given_name} {row.family_name}" for row in people)))


def whose_words(case: LearningCase) -> dict[str, list[str]]:
    """{field: words that still tell whose it is}."""
    known = known_to(case)
    found = {name: [words for _kind, words in left_over(getattr(case, name), known)] for name in WRITTEN}
    return {name: words for name, words in found.items() if words}


def _locked(case: LearningCase, actor: Actor) -> LearningCase:
    case = LearningCase.locked(case.pk)
    if actor.user is not None and actor.user.pk == case.author_id:
        raise NotPermitted(
            _("This is a report of yours."), todo=_("Another coordinator prepares what others learn from it.")
        )
    return case


@service(perms.COORDINATE_LEARNING)
def prepare_learning(
    case: LearningCase,
    *,
    title: str | None = None,
    kind: str | None = None,
    question: str | None = None,
    text: str | None = None,
    discussion: str | None = None,
    points: str | None = None,
    is_read: bool = False,
    actor: Actor,
) -> LearningCase:
    """Other words. ``is_read``: the coordinator read them and nobody is named; then the case is ready to be shown."""
    case = _locked(case, actor)
    if case.status == L.DECLINED:
        raise InvalidTransition(_("This case was not taken."))
    given = {"title": title, "question": question, "text": text, "discussion": discussion, "points": points}
    for name, words in given.items():
        if words is not None:
            setattr(case, name, " ".join(words.split()) if name == "title" else words.replace("\r\n", "\n").strip())
    case.kind = case.kind if kind is None else kind
    _check_words(case)
    shows = case.status in (L.READY, L.SHOWN)
    if is_read or shows:
        _refuse_whose(case)
    if shows and not is_read:
        raise InvalidData(_("Others see this case."), errors={"is_read": _("Say that you have read it.")})
    if is_read:
        case.read_by, case.read_at = actor.user, timezone.now()
        if case.status == L.SUBMITTED:
            case.move_to(L.READY)
    case.save_as(actor, "Prepared")
    return case


def _check_words(case: LearningCase) -> None:
    errors = {name: _("At most 20000 characters.") for name in WRITTEN if len(getattr(case, name)) > LONGEST}
    if not case.title or len(case.title) > 120:
        errors["title"] = _("Needed; at most 120 characters.")
    if case.kind not in LearningKind.values:
        errors["kind"] = _("Choose one of the list.")
    if errors:
        raise InvalidData(_("The case cannot be kept like this."), errors=errors)


def _refuse_whose(case: LearningCase) -> None:
    """What tells whose it is is named by its field, never repeated: refusals are shown and logged."""
    if found := whose_words(case):
        raise InvalidData(
            _("The case still tells whose it is."),
            errors={name: _("A name, number, contact, place or date stands in it.") for name in found},
            todo=_("Take it out and read the case once more."),
        )


@service(perms.COORDINATE_LEARNING)
def take_images(case: LearningCase, *, actor: Actor) -> LearningCase:
    """De-identified copies of its images, made and chosen as those of teaching cases are."""
    case = _locked(case, actor)
    if case.status == L.DECLINED:
        raise InvalidTransition(_("This case was not taken."))
    case.teaching = keep_case(case.report, title=case.title, actor=actor)
    case.save_as(actor, "Images taken")
    return case


@service(perms.COORDINATE_LEARNING)
def decline_learning(case: LearningCase, *, reason: str, actor: Actor) -> LearningCase:
    """Not for a conference. Who submitted it reads why."""
    reason = " ".join(reason.split())[:300]
    if not reason:
        raise InvalidData(_("Say why it is not taken."), errors={"reason": _("Needed.")})
    case = _locked(case, actor)
    if case.entries.standing().exists():
        raise InvalidTransition(_("A conference lists this case."), todo=_("Remove it there first."))
    case.move_to(L.DECLINED)
    case.declined_reason = reason
    case.save_as(actor, "Not taken")
    publish(LearningCaseDeclined(str(case.uuid), version=case.version), actor=actor)
    return case


@service(perms.COORDINATE_LEARNING)
def give_feedback(case: LearningCase, *, text: str, actor: Actor) -> LearningCase:
    """To the author alone, once; never who submitted it."""
    text = text.replace("\r\n", "\n").strip()
    case = _locked(case, actor)
    if not text or len(text) > LONGEST:
        raise InvalidData(_("Write the feedback."), errors={"text": _("Needed; at most 20000 characters.")})
    if case.status == L.DECLINED:
        raise InvalidTransition(_("This case was not taken."))
    if case.feedback_at is not None:
        raise InvalidTransition(_("The author has the feedback already."))
    submitter = case.submitted_by
    names = Known(people=(f"{submitter.given_name} {submitter.family_name}",))
    is_own = submitter.pk == case.author_id
    if not is_own and any(kind == "person" for kind, _words in left_over(text, names)):
        raise InvalidData(
            _("The feedback names a colleague."),
            errors={"text": _("Take the name out: who submits is told to nobody.")},
        )
    case.feedback, case.feedback_at = text, timezone.now()
    case.save_as(actor, "Feedback")
    publish(FeedbackGiven(str(case.uuid), version=case.version), actor=actor)
    return case


@service(perms.VIEW_LEARNING)
def acknowledge_feedback(case: LearningCase, *, actor: Actor) -> LearningCase:
    """The author has read it. Said again it changes nothing."""
    case = LearningCase.locked(case.pk)
    if actor.user is None or actor.user.pk != case.author_id or case.feedback_at is None:
        raise NotPermitted(_("Feedback is its author's alone."))
    if case.acknowledged_at is None:
        case.acknowledged_at = timezone.now()
        case.save_as(actor, "Acknowledged")
    return case
