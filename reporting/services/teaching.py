"""Teaching cases: kept from a report without its patient, read by a person, shared with the department, withdrawn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from django.contrib.postgres.search import SearchVector
from django.db.models import Q, Value
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from orders.models import Modality
from reporting import permissions as perms
from reporting.deidentify import Known, left_over, replaced
from reporting.events import TeachingCaseShared, TeachingCaseWithdrawn, TeachingImagesChosen
from reporting.models import SECTIONS, CopyState, CoSignature, Report, TeachingCase, TeachingImage, TeachingStatus
from reporting.parts import is_part
from reporting.selectors.search import WORDS
from reporting.services.locks import person
from ris.accounts.models import User
from ris.audit.models import Action
from ris.audit.service import record_read, service
from ris.core.actor import SYSTEM, Actor
from ris.core.errors import InvalidData, InvalidTransition, NotPermitted
from ris.events.bus import publish
from ris.tenants.context import require_facility
from worklist.models import ImagingInstance

T = TeachingStatus
TAGS, TAG, IMAGES = 10, re.compile(r"[^\W_]+(?:[ -][^\W_]+)*"), 12
#: Chosen by themselves: the middle image of so many series; a person changes that.
FIRST_IMAGES = 3
NO_PICTURE = ("SR", "PR", "KO", "DOC", "SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "REG", "FID", "AU", "ECG")
WRITTEN = ("title", "diagnosis", "text", "question", "answer")
KINDS = {
    "name": gettext_lazy("name"),
    "person": gettext_lazy("person"),
    "number": gettext_lazy("number"),
    "contact": gettext_lazy("contact"),
    "place": gettext_lazy("place"),
    "date": gettext_lazy("date"),
    "uid": gettext_lazy("number"),
}


def known_of(report: Report) -> Known:
    """Who and what a text of this report must not name."""
    exams = list(report.procedures.select_related("order__requester", "order__site").order_by("pk"))
    patient = report.patient
    requesters = [exam.order.requester for exam in exams if exam.order.requester is not None]
    sites = {exam.order.site.name for exam in exams if exam.order.site is not None}
    users = {user for user in (report.author, report.preliminary_by, report.signed_by) if user is not None}
    beside = CoSignature.objects.filter(report_version__report=report).values("signed_by")
    users |= set(User.objects.filter(Q(report_versions__report=report) | Q(pk__in=beside)))
    return Known(
        names=(
            patient.family_name,
            patient.given_name,
            patient.middle_name,
            patient.ideographic_name,
            patient.phonetic_name,
        ),
        numbers=(
            *(row.value for row in patient.identifiers.all()),
            *(exam.accession_number for exam in exams),
            *(exam.requested_procedure_id for exam in exams),
            *(exam.study_instance_uid for exam in exams),
        ),
        people=(
            patient.next_of_kin,
            *(f"{row.given_name} {row.family_name}" for row in requesters),
            *(f"{user.given_name} {user.family_name}" for user in users),
        ),
        places=(
            require_facility().name,
            *(words for name in sorted(sites) for words in _place_words(name)),
            *(row.organisation for row in requesters),
            *patient.address.splitlines(),
        ),
        contacts=(patient.phone, patient.email, *(row.phone for row in requesters), *(row.email for row in requesters)),
        days=(patient.birth_date,) if patient.birth_date else (),
    )


def _place_words(site: str) -> list[str]:
    """A site called "Main" is one only where it is called so: bronchi are main too."""
    if len(site.split()) > 1:
        return [site]
    return [f"at {site}", *(f"{site} {kind}" for kind in ("site", "clinic", "hospital", "branch", "centre", "center"))]


def _text_of(report: Report) -> str:
    """The report's sections under their headings."""
    pieces = []
    for name, (_code, heading) in SECTIONS.items():
        if words := report.sections.get(name, "").strip():
            pieces.append(f"{heading}\n{words}")
    more = [words for name, words in report.sections.items() if name not in SECTIONS and not is_part(name) and words]
    return "\n\n".join([*pieces, *more])


def age_band(years: int | None) -> str:
    if years is None:
        return ""
    if years >= 90:
        return "90+"
    return f"{years // 10 * 10}\u2013{years // 10 * 10 + 9}"


@service(perms.KEEP_TEACHING, action=Action.CREATE)
def keep_case(
    report: Report, *, diagnosis: str = "", tags: Sequence[str] | str = (), title: str = "", actor: Actor
) -> TeachingCase:
    """Private to the actor. Kept again it is the case that there is already."""
    user = person(actor)
    report = Report.locked(report.pk)
    row = TeachingCase.objects.filter(report=report, owner=user).exclude(status=T.WITHDRAWN).first()
    if row is not None:
        return row
    exam, patient, known = report.first_procedure, report.patient, known_of(report)
    text = _text_of(report)
    if not text:
        raise InvalidTransition(_("This report says nothing yet."), todo=_("Keep it when its text is written."))
    seen_on = timezone.localdate(exam.performed_at) if exam.performed_at else timezone.localdate()
    band = age_band(patient.age_on(seen_on))
    row = TeachingCase(
        report=report,
        owner=user,
        title=" ".join(title.split()) or ", ".join(part for part in (exam.description, band, patient.sex) if part),
        diagnosis=" ".join(diagnosis.split()),
        tags=clean_tags(tags),
        modality=exam.modality if exam.modality in Modality.values else Modality.OT,
        body_region=exam.body_region,
        age_band=band,
        sex=patient.sex,
        text=replaced(text, known, {kind: str(words) for kind, words in KINDS.items()}),
    )
    _refuse_too_long(row)
    _refuse_whose(row, known, ("title", "diagnosis", "tags"))
    row.save_as(actor, "Kept")
    _index(row)
    record_read(actor, perms.KEEP_TEACHING, entity=report)
    chosen = _first_images(report)
    for number, instance in enumerate(chosen, start=1):
        TeachingImage.objects.create(case=row, original=instance, number=number)
    if chosen:
        _wanted(row, actor)
    return row


def clean_tags(tags: Sequence[str] | str) -> list[str]:
    """Lower case, each once; words and hyphens only, as they stand in addresses."""
    given = re.split(r"[,;\n]", tags) if isinstance(tags, str) else tags
    found = list(dict.fromkeys(" ".join(tag.casefold().split()) for tag in given if tag.strip()))
    if len(found) > TAGS or any(len(tag) > 30 or not TAG.fullmatch(tag) for tag in found):
        raise InvalidData(
            _("These tags cannot be kept."),
            errors={"tags": _("At most ten, each of letters, digits and hyphens, at most 30 characters.")},
        )
    return found


def _refuse_too_long(row: TeachingCase) -> None:
    errors: dict[str, Any] = {}
    if not row.title or len(row.title) > 120:
        errors["title"] = _("Needed; at most 120 characters.")
    if len(row.diagnosis) > 200:
        errors["diagnosis"] = _("At most 200 characters.")
    for name in ("text", "question", "answer"):
        if len(getattr(row, name)) > 20000:
            errors[name] = _("At most 20000 characters.")
    if errors:
        raise InvalidData(_("The case cannot be kept like this."), errors=errors)


def whose_words(row: TeachingCase, known: Known | None = None) -> dict[str, list[str]]:
    """{field: words that still tell whose it is}."""
    known = known_of(row.report) if known is None else known
    found = {name: [words for _kind, words in left_over(getattr(row, name), known)] for name in WRITTEN}
    found["tags"] = [words for tag in row.tags for _kind, words in left_over(tag, known)]
    return {name: words for name, words in found.items() if words}


def _refuse_whose(row: TeachingCase, known: Known | None = None, names: Sequence[str] = (*WRITTEN, "tags")) -> None:
    """What tells whose it is is named by its field, never repeated: refusals are shown and logged."""
    found = [name for name in whose_words(row, known) if name in names]
    if found:
        raise InvalidData(
            _("The case still tells whose it is."),
            errors={name: _("A name, number, contact, place or date stands in it.") for name in found},
            todo=_("Take it out, read the case once more, then share it."),
        )


def _index(row: TeachingCase) -> None:
    vector = (
        SearchVector(Value(f"{row.title} {row.diagnosis}"), config=WORDS, weight="A")
        + SearchVector(Value(" ".join([*row.tags, row.body_region])), config=WORDS, weight="B")
        + SearchVector(Value("\n".join([row.text, row.question, row.answer])), config=WORDS, weight="C")
    )
    TeachingCase.objects.filter(pk=row.pk).update(words=vector)


def _locked(row: TeachingCase, actor: Actor, *, owner_only: bool = False) -> TeachingCase:
    """The case, when it is the actor's, or it is theirs to share."""
    row = TeachingCase.locked(row.pk)
    is_theirs = row.owner_id == person(actor).pk or (actor.may(perms.SHARE_TEACHING) and not owner_only)
    if not is_theirs:
        raise NotPermitted(_("This case is somebody else's."), todo=_("Ask its owner, or a radiologist."))
    if row.status == T.WITHDRAWN:
        raise InvalidTransition(_("This case was withdrawn."), todo=_("Keep the report again."))
    return row


@service(perms.KEEP_TEACHING)
def change_case(
    case: TeachingCase,
    *,
    title: str | None = None,
    diagnosis: str | None = None,
    tags: Sequence[str] | str | None = None,
    text: str | None = None,
    question: str | None = None,
    answer: str | None = None,
    is_read: bool = False,
    actor: Actor,
) -> TeachingCase:
    """Other words. ``is_read``: the actor has read them and nobody is named; without it they have to be read again.

    Words of a shared case are refused when they tell whose it is, or were not read.
    """
    row = _locked(case, actor)
    given = {"title": title, "diagnosis": diagnosis, "text": text, "question": question, "answer": answer}
    for name, value in given.items():
        if value is not None:
            one_line = name in ("title", "diagnosis")
            setattr(row, name, " ".join(value.split()) if one_line else value.replace("\r\n", "\n").strip())
    if tags is not None:
        row.tags = clean_tags(tags)
    _refuse_too_long(row)
    _refuse_whose(row, names=("tags",))
    if row.status == T.SHARED:
        _refuse_whose(row)
        if not is_read:
            raise InvalidData(_("Others see this case."), errors={"is_read": _("Say that you have read it.")})
    row.reviewed_by, row.reviewed_at = (actor.user, timezone.now()) if is_read else (None, None)
    row.save_as(actor, "Changed")
    _index(row)
    return row


@service(perms.KEEP_TEACHING)
def offer_case(case: TeachingCase, *, actor: Actor) -> TeachingCase:
    """Its owner may not share: radiologists who may see the report find it, read it and share it."""
    row = _locked(case, actor, owner_only=True)
    if row.status != T.DRAFT:
        raise InvalidTransition(_("This case is shared already."))
    row.offered_at = row.offered_at or timezone.now()
    row.save_as(actor, "Offered")
    return row


@service(perms.SHARE_TEACHING)
def share_case(case: TeachingCase, *, actor: Actor) -> TeachingCase:
    """Everybody who sees teaching cases sees it. Refused until somebody has read it, and while it tells whose it is."""
    row = _locked(case, actor)
    if row.reviewed_at is None:
        raise InvalidTransition(
            _("Nobody has read this case yet."), todo=_("Read it, edit it, tick that nobody is named in it, save it.")
        )
    _refuse_whose(row)
    row.move_to(T.SHARED)
    row.shared_by = person(actor)
    row.save_as(actor, "Shared")
    publish(TeachingCaseShared(str(row.uuid), "", row.version), actor=actor)
    return row


@service(perms.KEEP_TEACHING)
def withdraw_case(case: TeachingCase, *, reason: str, actor: Actor) -> TeachingCase:
    """Nobody else sees it any more; its text and images stay for whoever may see the report."""
    row = _locked(case, actor)
    reason = " ".join(reason.split())[:300]
    if not reason:
        raise InvalidData(_("Say why it is withdrawn."), errors={"reason": _("Needed.")})
    row.move_to(T.WITHDRAWN)
    row.withdrawn_reason = reason
    row.save_as(actor, reason)
    publish(TeachingCaseWithdrawn(str(row.uuid), "", row.version), actor=actor)
    return row


# --- images


def source_images(report: Report) -> Any:
    """Stored images of the report's exams that may be shown."""
    rows = ImagingInstance.objects.visible().filter(series__study__procedures__in=report.procedures.all())
    return (
        rows.exclude(series__modality__in=NO_PICTURE).distinct().order_by("series__number", "series_id", "number", "pk")
    )


def _first_images(report: Report) -> list[ImagingInstance]:
    by_series: dict[int, list[int]] = {}
    for series, pk in source_images(report).values_list("series_id", "pk"):
        by_series.setdefault(series, []).append(pk)
    chosen = [keys[len(keys) // 2] for keys in list(by_series.values())[:FIRST_IMAGES]]
    found = ImagingInstance.objects.in_bulk(chosen)
    return [found[pk] for pk in chosen]


def _wanted(row: TeachingCase, actor: Actor) -> None:
    publish(TeachingImagesChosen(str(row.uuid), "", row.version), actor=actor)


@service(perms.KEEP_TEACHING)
def choose_image(case: TeachingCase, *, sop_instance_uid: str, actor: Actor) -> TeachingCase:
    """Another image of the report's exams."""
    row = _locked(case, actor)
    if not Report.objects.visible_to(actor).filter(pk=row.report_id).exists():
        raise NotPermitted(_("The images of this case are not yours to see."))
    instance = source_images(row.report).filter(sop_instance_uid=sop_instance_uid).first()
    if instance is None:
        raise InvalidData(_("Choose an image of this exam."), errors={"image": _("There is no such image.")})
    standing = list(row.images.standing())
    if len(standing) >= IMAGES:
        raise InvalidData(_("A case has twelve images at most."), errors={"image": _("Remove one first.")})
    if all(image.original_id != instance.pk for image in standing):
        number = max((image.number for image in standing), default=0) + 1
        TeachingImage.objects.create(case=row, original=instance, number=number)
        _wanted(row, actor)
    return row


def _of_case(image: TeachingImage, actor: Actor) -> TeachingImage:
    _locked(image.case, actor)
    return TeachingImage.objects.select_for_update(of=("self",)).select_related("case").get(pk=image.pk)


@service(perms.KEEP_TEACHING)
def remove_image(image: TeachingImage, *, actor: Actor) -> TeachingImage:
    row = _of_case(image, actor)
    row.removed_at = row.removed_at or timezone.now()
    row._history_user = actor.user
    row.save()
    return row


@service(perms.KEEP_TEACHING)
def confirm_image(image: TeachingImage, *, actor: Actor) -> TeachingImage:
    """The actor looked at the original: no words about the patient stand in the picture. Then it is copied."""
    row = _of_case(image, actor)
    if row.state != CopyState.LOOK:
        raise InvalidTransition(_("Nobody has to look at this image."))
    if not Report.objects.visible_to(actor).filter(pk=row.case.report_id).exists():
        raise NotPermitted(_("The images of this case are not yours to see."))
    row.state, row.problem = CopyState.WAITING, ""
    row.looked_by, row.looked_at = person(actor), timezone.now()
    row._history_user = actor.user
    row.save()
    _wanted(row.case, actor)
    return row


def waiting_images(case_uuid: str) -> list[TeachingImage]:
    """What is to be copied of a case, for whoever makes the copies."""
    rows = TeachingImage.objects.standing().filter(case__uuid=case_uuid, state=CopyState.WAITING)
    return list(rows.select_related("case", "original__series__study").order_by("number", "pk"))


@service(perms.KEEP_TEACHING)
def note_copy(
    image: TeachingImage, *, state: str, path: str = "", frames: int = 1, problem: str = "", actor: Actor = SYSTEM
) -> TeachingImage:
    """What became of the copy; the first word stands."""
    row = TeachingImage.objects.select_for_update(of=("self",)).get(pk=image.pk)
    if row.state == CopyState.WAITING:
        row.state, row.path, row.frames, row.problem = state, path, frames, problem[:200]
        row.save()
    return row
