"""Images are taken out of use, and back into it (IHE IOCM): hidden and not counted, never deleted."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Q
from django.utils.translation import gettext as _

from orders.models import RequestedProcedure
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidData, NotKnown
from ris.events.bus import publish
from worklist import permissions as perms
from worklist.data import StoredInstance
from worklist.events import ImagesRejected, ImagesRestored
from worklist.models import ImageRejection, ImagingInstance, ImagingSeries, ImagingStudy, RejectionReason
from worklist.services.counting import recount_study
from worklist.services.support import lock_procedures, now


@service(perms.REJECT_IMAGES)
def reject_images(
    study: ImagingStudy, *, instances: Iterable[str], code: str, reason: str, is_hidden: bool = True, actor: Actor
) -> ImageRejection:
    """Hide ``instances`` (SOP Instance UIDs of this study) from viewer, queries and counts.

    Not ``is_hidden``: only archives are told; here the images are under the right exam already.

    ``code``: one of RejectionReason, the title of the rejection note that follows. What was rejected before stays with
    its first rejection. Raises NotKnown (one is no instance of the study), Conflict (all of them were rejected before).
    """
    reason = _reason(reason)
    if code not in RejectionReason.values:
        words = _("One of: %(codes)s.") % {"codes": ", ".join(RejectionReason.values)}
        raise InvalidData(words, errors={"code": words})
    study, procedures = locked_study(study)
    wanted = sorted({uid.strip() for uid in instances if uid.strip()})
    if not wanted:
        words = _("Name the images.")
        raise InvalidData(words, errors={"instances": words})
    rows = list(ImagingInstance.objects.filter(series__study=study, sop_instance_uid__in=wanted).select_for_update())
    if len(rows) != len(wanted):
        raise NotKnown(_("Not all of these images are of this study."))
    fresh = sorted((row for row in rows if not row.is_rejected), key=lambda row: row.pk)
    if not fresh:
        raise Conflict(_("These images are rejected already."), todo=_("Nothing more is to be done."))
    if is_hidden:
        hide(study, fresh, True)
    rejection = ImageRejection(
        is_hidden=is_hidden,
        study=study,
        code=code,
        reason=reason,
        instances=[row.sop_instance_uid for row in fresh],
        rejected_at=now(),
        rejected_by=actor.user,
    )
    rejection.save_as(actor, f"{RejectionReason(code).name}: {reason}")
    study.save_as(actor, f"{len(fresh)} rejected: {reason}")
    publish(
        ImagesRejected(
            str(study.uuid),
            accession_number=_accession_number(procedures),
            version=study.version,
            study=str(study.uuid),
            instances=tuple(rejection.instances),
            reason_code=code,
            rejection=str(rejection.uuid),
        ),
        actor=actor,
    )
    return rejection


@service(perms.REJECT_IMAGES)
def restore_images(rejection: ImageRejection, *, reason: str, actor: Actor) -> ImageRejection:
    """Undo a rejection: its images are shown and counted again. Raises Conflict when that was done already."""
    reason = _reason(reason)
    study, procedures = locked_study(rejection.study)
    rejection = ImageRejection.locked(rejection.pk)
    if rejection.restored_at is not None:
        raise Conflict(
            _("These images were restored already."),
            found=rejection.restored_reason,
            todo=_("Nothing more is to be done."),
        )
    chosen = Q(sop_instance_uid__in=rejection.instances, series__study=study, is_rejected=True)
    rows = list(ImagingInstance.objects.filter(chosen).select_for_update(of=("self",)).order_by("pk"))
    rows = rows if rejection.is_hidden else []
    hide(study, rows, False)
    rejection.restored_at, rejection.restored_by, rejection.restored_reason = now(), actor.user, reason
    rejection.save_as(actor, f"Restored: {reason}")
    study.save_as(actor, f"{len(rows)} restored: {reason}")
    publish(
        ImagesRestored(
            str(study.uuid),
            accession_number=_accession_number(procedures),
            version=study.version,
            study=str(study.uuid),
            instances=tuple(rejection.instances),
            rejection=str(rejection.uuid),
        ),
        actor=actor,
    )
    return rejection


@service(perms.STORE_STUDY)
def keep_rejection_note(rejection: ImageRejection, *, note: StoredInstance, actor: Actor) -> ImageRejection:
    """Index the note's file with the study, hidden as what it rejects is. Said again it does nothing."""
    study, _procedures = locked_study(rejection.study)
    rejection = ImageRejection.locked(rejection.pk)
    if rejection.note_sop_instance_uid:
        return rejection
    series = ImagingSeries.objects.create(
        study=study,
        series_instance_uid=note.series_instance_uid,
        modality=note.modality[:16],
        number=note.series_number,
        description=note.series_description[:64],
        manufacturer=note.manufacturer[:64],
    )
    ImagingInstance.objects.create(
        series=series,
        sop_instance_uid=note.sop_instance_uid,
        sop_class_uid=note.sop_class_uid,
        transfer_syntax_uid=note.transfer_syntax_uid,
        number=note.instance_number,
        path=note.path,
        size=note.size,
        fingerprint=note.fingerprint,
        is_rejected=True,
    )
    rejection.note_sop_instance_uid = note.sop_instance_uid
    rejection.save_as(actor, "Rejection note written")
    return rejection


def _reason(reason: str) -> str:
    reason = reason.strip()
    if not reason:
        words = _("Say why.")
        raise InvalidData(words, errors={"reason": words})
    return reason[:200]


def locked_study(study: ImagingStudy) -> tuple[ImagingStudy, list[RequestedProcedure]]:
    """Procedures, series, then the study, locked: in the order in which an arriving image takes its locks."""
    procedures = lock_procedures(study.procedures.values_list("pk", flat=True))
    list(ImagingSeries.objects.select_for_update(of=("self",)).filter(study=study).order_by("pk").values_list("pk"))
    return ImagingStudy.locked(study.pk), procedures


def _accession_number(procedures: list[RequestedProcedure]) -> str:
    return procedures[0].accession_number if procedures else ""


def hide(study: ImagingStudy, rows: list[ImagingInstance], is_hidden: bool) -> None:
    """Flags, and the counts that follow from them; ``study`` is to be saved."""
    if not rows:
        return
    ImagingInstance.objects.filter(pk__in=[row.pk for row in rows]).update(is_rejected=is_hidden)
    recount_study(study.pk)
    study.refresh_from_db(fields=["instance_count", "series_count", "last_received_at"])
    shown = ImagingSeries.objects.filter(study=study, instance_count__gt=0).exclude(modality="")
    study.modalities = "\\".join(sorted(set(shown.values_list("modality", flat=True))))[:100]
