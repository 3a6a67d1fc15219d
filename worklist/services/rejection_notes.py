"""Rejection notes of others are obeyed (IHE IOCM, RAD-66): what they name is hidden, never deleted, and restorable.

The note may come before the images that it speaks of. These are hidden as soon as they are settled into their study,
except where only their keeping time was over: what is sent again after that is wanted again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from django.utils.translation import gettext as _

from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidData, NotKnown
from ris.events.bus import publish
from worklist import permissions as perms
from worklist.events import ImagesRejected
from worklist.models import ImageRejection, ImagingInstance, ImagingStudy, RejectionReason
from worklist.services.rejection import hide, locked_study
from worklist.services.support import now

#: A study's rejections are looked at when its images come; more than so many UIDs is no note.
MOST_INSTANCES = 100_000


@service(perms.STORE_STUDY)
def obey_rejection_note(
    note: ImagingInstance, *, code: str, instances: Iterable[str], reason: str = "", actor: Actor
) -> list[ImageRejection]:
    """Hide the note and the ``instances`` (SOP Instance UIDs) that it rejects; a row for each study they lie in.

    What it names of another patient stays, and the study of the note says so. Heard again it does nothing. Raises
    InvalidData (no such title), NotKnown (the note is not stored).
    """
    if code not in RejectionReason.values:
        words = _("One of: %(codes)s.") % {"codes": ", ".join(RejectionReason.values)}
        raise InvalidData(words, errors={"code": words})
    own = ImagingStudy.objects.filter(series__instances=note).first()
    if own is None:
        raise NotKnown(_("There is no such image."))
    uids = sorted({uid for uid in instances if uid != note.sop_instance_uid})[:MOST_INSTANCES]
    by_study: dict[int, list[str]] = defaultdict(list)
    found = ImagingInstance.objects.filter(sop_instance_uid__in=uids)
    for study, uid in found.values_list("series__study", "sop_instance_uid"):
        by_study[study].append(uid)
    here = {uid for some in by_study.values() for uid in some}
    by_study[own.pk] += [uid for uid in uids if uid not in here]
    strangers = _of_others(own, by_study)
    for study in strangers:
        del by_study[study]
    if strangers:
        own.save_as(actor, f"A note names images of {len(strangers)} studies of another patient: not obeyed for these")
    made = []
    for study in sorted(by_study):
        rejection = _reject(study, note, sorted(by_study[study]), code, reason.strip(), actor)
        if rejection is not None:
            made.append(rejection)
    return made


def _of_others(own: ImagingStudy, studies: Iterable[int]) -> list[int]:
    """Studies of another patient than the note's: a note is believed about its own patient only."""
    rows = ImagingStudy.objects.filter(pk__in=list(studies)).exclude(pk=own.pk)
    mine = (own.patient_id, own.issuer_of_patient_id)
    return sorted(row.pk for row in rows if (row.patient_id, row.issuer_of_patient_id) != mine)


def _reject(
    study_id: int, note: ImagingInstance, uids: list[str], code: str, reason: str, actor: Actor
) -> ImageRejection | None:
    study, procedures = locked_study(ImagingStudy.objects.get(pk=study_id))
    if ImageRejection.objects.filter(study=study, note_sop_instance_uid=note.sop_instance_uid).exists():
        return None
    named = [*uids, note.sop_instance_uid] if note.series.study_id == study.pk else uids
    shown = ImagingInstance.objects.filter(series__study=study, sop_instance_uid__in=named, is_rejected=False)
    hide(study, list(shown.select_for_update(of=("self",)).order_by("pk")), True)
    reason = reason or str(RejectionReason(code).label)
    rejection = ImageRejection(
        study=study,
        code=code,
        reason=reason[:200],
        instances=uids,
        rejected_at=now(),
        received_from=note.received_from,
        note_sop_instance_uid=note.sop_instance_uid,
    )
    rejection.save_as(actor, f"{RejectionReason(code).name}: {reason}")
    study.save_as(actor, f"{len(uids)} rejected by a note: {reason}")
    publish(
        ImagesRejected(
            str(study.uuid),
            accession_number=procedures[0].accession_number if procedures else "",
            version=study.version,
            study=str(study.uuid),
            instances=tuple(uids),
            reason_code=code,
            rejection=str(rejection.uuid),
        ),
        actor=actor,
    )
    return rejection


def hide_what_was_rejected_before(study: ImagingStudy, *, actor: Actor) -> int:
    """Images that came after the note that rejects them; answers how many. Part of calling a study complete."""
    notes = ImageRejection.objects.filter(study=study, restored_at=None, is_hidden=True)
    waiting = notes.exclude(received_from="").exclude(code=RejectionReason.RETENTION)
    uids = {uid for rejection in waiting for uid in rejection.instances}
    late = ImagingInstance.objects.filter(series__study=study, sop_instance_uid__in=uids, is_rejected=False)
    if not uids or not late.exists():
        return 0
    study, _procedures = locked_study(study)
    rows = list(late.select_for_update(of=("self",)).order_by("pk"))
    hide(study, rows, True)
    study.save_as(actor, f"{len(rows)} came after the note that rejects them")
    return len(rows)
