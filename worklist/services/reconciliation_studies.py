"""Studies split and merged: series change their place in the index, their files stay as they were sent.

A series that was moved remembers the Study Instance UID that its objects carry, so that what comes late still finds it.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext as _

from orders.models import RequestedProcedure
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidData, NotKnown
from ris.core.ids import new_uid
from worklist import permissions as perms
from worklist.models import (
    ExceptionKind,
    ImagingInstance,
    ImagingSeries,
    ImagingStudy,
    Reconciliation,
    ReconciliationKind,
)
from worklist.services import reconciliation_evidence as evidence
from worklist.services.reconciliation import (
    check_reason,
    lock_both,
    refuse_closed,
    reject_if_other,
    undoes,
    write_down,
)
from worklist.services.reconciliation_evidence import Ledger
from worklist.services.support import raise_exception

#: What a new study takes over from the one that it is split from.
TAKEN_OVER = (
    "accession_number",
    "patient_id",
    "issuer_of_patient_id",
    "patient_name",
    "patient_birth_date",
    "patient_sex",
    "study_id",
    "description",
    "referring_physician",
    "study_date",
    "study_time",
    "first_received_at",
    "last_received_at",
)


@service(perms.RESOLVE_EXCEPTION)
def split_study(
    study: ImagingStudy,
    *,
    series: Iterable[str],
    target: RequestedProcedure | None = None,
    reason: str,
    actor: Actor,
) -> Reconciliation:
    """Some series (Series Instance UIDs) are another exam's, or another patient's: they become a study of their own.

    Without ``target`` that study waits for a person. Raises NotKnown, InvalidData (none, or all of them).
    """
    reason = check_reason(reason)
    source = study.procedures.order_by("pk").first()
    source, target = lock_both(source, target)
    if target is not None:
        refuse_closed(target)
    chosen = _chosen(study, series)
    study = ImagingStudy.locked(study.pk)
    ledger = Ledger()
    evidence.note_before(ledger, [source, target])
    fresh = ImagingStudy(study_instance_uid=new_uid(), **{name: getattr(study, name) for name in TAKEN_OVER})
    fresh.save_as(actor, f"Split from another study: {reason}")
    move_series(ledger, chosen, fresh)
    study.save_as(actor, f"Series split off: {reason}")
    for row in (study, fresh):
        recount(row)
    fresh.refresh_from_db()
    if target is not None:
        evidence.give_study(ledger, fresh, target, reason=reason, actor=actor)
        reject_if_other(ledger, fresh, target, reason=reason, actor=actor)
    else:
        item = raise_exception(ExceptionKind.UNMATCHED_STUDY, study=fresh, detail={"split": True}, actor=actor)
        ledger.raised.append(str(item.uuid))
    if source is not None:
        evidence.flag_if_read(ledger, source, study=study, actor=actor)
    return write_down(
        ReconciliationKind.SPLIT, ledger, study=fresh, source=source, target=target, reason=reason, actor=actor
    )


def _chosen(study: ImagingStudy, series: Iterable[str]) -> list[ImagingSeries]:
    """Locked before the study, as an arriving image takes its locks."""
    wanted = {uid.strip() for uid in series if uid.strip()}
    rows = list(ImagingSeries.objects.select_for_update(of=("self",)).filter(study=study).order_by("pk"))
    chosen = [row for row in rows if row.series_instance_uid in wanted]
    if len(chosen) != len(wanted):
        raise NotKnown(_("Not all of these series are of this study."))
    if not chosen or len(chosen) == len(rows):
        words = _("Choose some series, not all: a whole study is moved, not split.")
        raise InvalidData(words, errors={"series": words})
    return chosen


def move_series(ledger: Ledger, rows: Iterable[ImagingSeries], study: ImagingStudy) -> None:
    for row in rows:
        ledger.series.append([row.series_instance_uid, str(row.study.uuid)])
        acquired = row.acquired_study_instance_uid or row.study.study_instance_uid
        row.acquired_study_instance_uid = "" if acquired == study.study_instance_uid else acquired
        row.study = study
        row.save(update_fields=["study", "acquired_study_instance_uid"])


def recount(study: ImagingStudy) -> None:
    """Exact counts, as the index keeps them: of what is shown."""
    for row in ImagingSeries.objects.filter(study=study):
        shown = ImagingInstance.objects.filter(series=row, is_rejected=False).count()
        ImagingSeries.objects.filter(pk=row.pk).update(instance_count=shown)
    shown_series = list(ImagingSeries.objects.filter(study=study, instance_count__gt=0))
    ImagingStudy.objects.filter(pk=study.pk).update(
        series_count=len(shown_series),
        instance_count=sum(row.instance_count for row in shown_series),
        modalities="\\".join(sorted({row.modality for row in shown_series if row.modality}))[:100],
    )


@service(perms.RESOLVE_EXCEPTION)
def merge_studies(study: ImagingStudy, *, into: ImagingStudy, reason: str, actor: Actor) -> Reconciliation:
    """Two studies of one exam become one: the series of ``study`` go into ``into``; what comes later follows them."""
    reason = check_reason(reason)
    if study.pk == into.pk:
        words = _("That is the same study.")
        raise InvalidData(words, errors={"into": words})
    target = into.procedures.order_by("pk").first()
    own = list(study.procedures.order_by("pk"))
    locked = lock_both(target, *own)
    target, sources = locked[0], [row for row in locked[1:] if row is not None]
    if target is None:
        raise NotKnown(_("The study to merge into belongs to no exam yet."), todo=_("Link it first."))
    strangers = [row for row in sources if row.order.patient_id != target.order.patient_id]
    if strangers:
        raise Conflict(
            _("These studies are of two patients."),
            asked=_("To merge them."),
            found=_("They are linked to exams of different patients."),
            todo=_("Move the images to the right exam first."),
        )
    if study.merged_into_id or into.merged_into_id:
        raise Conflict(_("One of these studies was merged already."), todo=_("Undo that first."))
    source = sources[0] if sources else None
    rows = list(ImagingSeries.objects.select_for_update(of=("self",)).filter(study=study).order_by("pk"))
    study, into = (ImagingStudy.locked(pk) for pk in (study.pk, into.pk))
    ledger = Ledger()
    evidence.note_before(ledger, [source, target])
    move_series(ledger, rows, into)
    for procedure in sources:
        evidence.take_study(ledger, study, procedure, reason=reason, actor=actor)
    study.merged_into = into
    study.save_as(actor, f"Merged into another study: {reason}")
    evidence.settle(ledger, study.exceptions.open().select_for_update(of=("self",)), reason, actor)
    for row in (study, into):
        recount(row)
    evidence.give_study(ledger, into, target, reason=reason, actor=actor)
    return write_down(
        ReconciliationKind.MERGE, ledger, study=study, source=source, target=target, reason=reason, actor=actor
    )


@undoes(ReconciliationKind.SPLIT)
@undoes(ReconciliationKind.MERGE)
def _put_series_back(row: Reconciliation, ledger: Ledger, reason: str, actor: Actor) -> None:
    """Also what came since under the moved series' or the merged study's own UID."""
    assert row.study is not None
    origin = dict(ledger.series)
    late = ImagingSeries.objects.none()
    if row.kind == ReconciliationKind.MERGE:
        late = ImagingSeries.objects.filter(
            study=row.study.merged_into, acquired_study_instance_uid=row.study.study_instance_uid
        )
    moved = ImagingSeries.objects.filter(series_instance_uid__in=origin)
    touched, home = {row.study.pk}, None
    for series in (moved | late).select_related("study").distinct().order_by("pk"):
        touched.add(series.study_id)
        home = ImagingStudy.objects.get(uuid=origin.get(series.series_instance_uid, row.study.uuid))
        touched.add(home.pk)
        move_series(Ledger(), [series], home)
    for study in ImagingStudy.objects.filter(pk__in=touched).select_for_update(of=("self",)).order_by("pk"):
        if study.pk == row.study.pk:
            study.merged_into = home if row.kind == ReconciliationKind.SPLIT else None
        study.save_as(actor, f"Undone: {reason}")
        recount(study)
