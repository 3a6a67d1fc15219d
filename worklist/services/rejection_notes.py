"""Rejection notes of others are obeyed (IHE IOCM, RAD-66): what they name is hidden, never deleted, and restorable.

The note may come before the images that it speaks of. These are hidden from the moment they come, except where only
their keeping time was over: what is sent again after that is wanted again.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidData, NotKnown
from ris.events.bus import publish
from worklist import permissions as perms
from worklist.data import StoredInstance
from worklist.events import ImagesRejected
from worklist.models import ImageRejection, ImagingInstance, ImagingStudy, RejectionReason
from worklist.services.rejection import hide, locked_study
from worklist.services.support import now

#: A study's rejections are looked at when its images come; more than so many UIDs is no note.
MOST_INSTANCES = 100_000


@service(perms.STORE_STUDY)
def obey_rejection_note(
    note: ImagingInstance,
    *,
    code: str,
    instances: Iterable[str],
    reason: str = "",
    is_own_only: bool = False,
    actor: Actor,
) -> list[ImageRejection]:
    """Hide the note and the ``instances`` (SOP Instance UIDs) that it rejects; a row for each study they lie in.

    ``is_own_only``: its sender may reject what it has sent itself. What a note names of others then, or of another
    patient, stays, and the study of the note says so. Heard again it does nothing. Raises InvalidData (no such title),
    NotKnown (the note is not stored).
    """
    if code not in RejectionReason.values:
        words = _("One of: %(codes)s.") % {"codes": ", ".join(RejectionReason.values)}
        raise InvalidData(words, errors={"code": words})
    own = ImagingStudy.objects.filter(series__instances=note).first()
    if own is None:
        raise NotKnown(_("There is no such image."))
    uids = sorted({uid for uid in instances if uid != note.sop_instance_uid})[:MOST_INSTANCES]
    by_study: dict[int, list[str]] = defaultdict(list)
    of_others: set[str] = set()
    here = set()
    found = ImagingInstance.objects.filter(sop_instance_uid__in=uids)
    for study, uid, sender in found.values_list("series__study", "sop_instance_uid", "received_from"):
        here.add(uid)
        if is_own_only and sender != note.received_from:
            of_others.add(uid)
        else:
            by_study[study].append(uid)
    by_study[own.pk] += [uid for uid in uids if uid not in here]
    if of_others:
        own.save_as(actor, f"A note names {len(of_others)} images that its sender may not reject: not obeyed for these")
    strangers = _of_others(own, by_study)
    for study in strangers:
        del by_study[study]
    if strangers:
        own.save_as(actor, f"A note names images of {len(strangers)} studies of another patient: not obeyed for these")
    made = []
    for study in sorted(by_study):
        told = ImageRejection(code=code, reason=reason.strip(), is_own_only=is_own_only)
        rejection = _reject(study, note, sorted(by_study[study]), told, actor)
        if rejection is not None:
            made.append(rejection)
    return made


def _of_others(own: ImagingStudy, studies: Iterable[int]) -> list[int]:
    """Studies of another patient than the note's: a note is believed about its own patient only."""
    rows = ImagingStudy.objects.filter(pk__in=list(studies)).exclude(pk=own.pk)
    mine = (own.patient_id, own.issuer_of_patient_id)
    return sorted(row.pk for row in rows if (row.patient_id, row.issuer_of_patient_id) != mine)


def _reject(
    study_id: int, note: ImagingInstance, uids: list[str], rejection: ImageRejection, actor: Actor
) -> ImageRejection | None:
    study, procedures = locked_study(ImagingStudy.objects.get(pk=study_id))
    if ImageRejection.objects.filter(study=study, note_sop_instance_uid=note.sop_instance_uid).exists():
        return None
    named = [*uids, note.sop_instance_uid] if note.series.study_id == study.pk else uids
    shown = ImagingInstance.objects.filter(series__study=study, sop_instance_uid__in=named, is_rejected=False)
    hide(study, list(shown.select_for_update(of=("self",)).order_by("pk")), True)
    code = RejectionReason(rejection.code)
    reason = rejection.reason or str(code.label)
    rejection.study, rejection.reason = study, reason[:200]
    rejection.instances, rejection.rejected_at = uids, now()
    rejection.received_from, rejection.note_sop_instance_uid = note.received_from, note.sop_instance_uid
    rejection.save_as(actor, f"{code.name}: {reason}")
    study.save_as(actor, f"{len(uids)} rejected by a note: {reason}")
    publish(
        ImagesRejected(
            str(study.uuid),
            accession_number=procedures[0].accession_number if procedures else "",
            version=study.version,
            study=str(study.uuid),
            instances=tuple(uids),
            reason_code=rejection.code,
            rejection=str(rejection.uuid),
        ),
        actor=actor,
    )
    return rejection


# --- images that come after their note


def waiting_notes() -> QuerySet[ImageRejection]:
    """Of others, in force, and not about the age of what they name."""
    notes = ImageRejection.objects.filter(restored_at=None, is_hidden=True).exclude(received_from="")
    return notes.exclude(code=RejectionReason.RETENTION)


def note_that_rejects(sop_instance_uid: str, received_from: str) -> ImageRejection | None:
    """The note that an instance comes too late for."""
    ours = Q(is_own_only=False) | Q(received_from=received_from)
    return waiting_notes().filter(ours, instances__contains=[sop_instance_uid]).select_related("study").first()


@contextlib.contextmanager
def hidden_if_rejected(instance: StoredInstance, *, actor: Actor) -> Iterator[None]:
    """Around adding an instance to the index, in one transaction: nobody sees it when a note has rejected it before."""
    note = note_that_rejects(instance.sop_instance_uid, instance.received_from)
    if note is None:
        yield
        return
    study, _procedures = locked_study(note.study)
    yield
    rows = ImagingInstance.objects.filter(sop_instance_uid=instance.sop_instance_uid, series__study=study)
    added = list(rows.filter(is_rejected=False))
    if added:
        study.refresh_from_db()
        hide(study, added, True)
        study.save_as(actor, "1 came after the note that rejects it")


def hide_what_was_rejected_before(study: ImagingStudy, *, actor: Actor) -> int:
    """What else came after its note, as with a series that a person has moved; part of calling a study complete."""
    named = Q(pk__in=[])
    for rejection in waiting_notes().filter(study=study):
        sender = Q(received_from=rejection.received_from) if rejection.is_own_only else Q()
        named |= Q(sop_instance_uid__in=rejection.instances) & sender
    late = ImagingInstance.objects.filter(named, series__study=study, is_rejected=False)
    if not late.exists():
        return 0
    study, _procedures = locked_study(study)
    rows = list(late.select_for_update(of=("self",)).order_by("pk"))
    hide(study, rows, True)
    study.save_as(actor, f"{len(rows)} came after the note that rejects them")
    return len(rows)
