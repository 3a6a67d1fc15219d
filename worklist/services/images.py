"""The index of what is stored. One row per instance, in the commit that makes its file count; counts are exact.

Called once per stored object and safe in any number of processes at once. The association and its studies are
audited by the door that received them, a new study here.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta

from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Greatest
from django.utils.translation import gettext as _

from orders.models import RequestedProcedure
from ris.audit.models import Action
from ris.audit.service import record
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidData
from ris.core.ids import is_valid_uid
from ris.events.bus import publish
from worklist import permissions as perms
from worklist.data import StoredInstance
from worklist.events import InstanceStored
from worklist.models import ExceptionKind, ImagingInstance, ImagingSeries, ImagingStudy
from worklist.services import completeness
from worklist.services.matching import Agreement, Sent, agreement, differences
from worklist.services.rejection_notes import hidden_if_rejected
from worklist.services.support import lock_procedures, now, raise_exception, station_of

COLUMNS = (
    "series_id",
    "sop_instance_uid",
    "sop_class_uid",
    "transfer_syntax_uid",
    "number",
    "rows",
    "columns",
    "frames",
    "path",
    "size",
    "fingerprint",
    "received_from",
    "received_at",
    "is_rejected",
)


class OtherContent(Conflict):
    """A known SOP Instance UID with another content; the stored one stays."""

    code = "duplicate_instance"


def index_instance(instance: StoredInstance, *, actor: Actor) -> ImagingInstance:
    """Index one stored object. Identical ones are answered with the row that is there.

    Raises InvalidData (a UID is none), OtherContent (and leaves an exception for a person).
    """
    actor.require(perms.STORE_STUDY)
    for name in ("study_instance_uid", "series_instance_uid", "sop_instance_uid"):
        if not is_valid_uid(getattr(instance, name)):
            words = _("That is no UID.")
            raise InvalidData(words, errors={name: words})
    with transaction.atomic():
        known = _known(instance)
        row = known or _insert_unseen(instance, actor)
        row = row or _known(instance)
        assert row is not None
        is_same = row.fingerprint == instance.fingerprint or (not row.fingerprint and row.size == instance.size)
        if not is_same:
            _report_other_content(row, instance, actor)
    if not is_same:
        raise OtherContent(
            _("Another object is stored under this SOP Instance UID."),
            asked=_("To store an object."),
            found=_("Its UID belongs to a stored object of other content."),
            todo=_("The stored object stays. A person must look at both."),
        )
    if getattr(row, "may_complete_study", False):
        completeness.note_images_complete(row.series.study_id, actor=actor)
    return row


def _known(instance: StoredInstance) -> ImagingInstance | None:
    return ImagingInstance.objects.select_related("series").filter(sop_instance_uid=instance.sop_instance_uid).first()


def _report_other_content(row: ImagingInstance, instance: StoredInstance, actor: Actor) -> None:
    study = row.series.study
    raise_exception(
        ExceptionKind.DUPLICATE_INSTANCE,
        study=study,
        procedure=study.procedures.first(),
        station=station_of(actor, instance.received_from),
        detail={"sop_instance_uid": instance.sop_instance_uid, "received_from": instance.received_from},
        actor=actor,
    )


# --- rows


def _insert_unseen(instance: StoredInstance, actor: Actor) -> ImagingInstance | None:
    with hidden_if_rejected(instance, actor=actor):
        return _insert(instance, actor)


def _insert(instance: StoredInstance, actor: Actor) -> ImagingInstance | None:
    """The new row, with series and study counted up; None when another association was faster."""
    series = _series(instance, actor)
    row = ImagingInstance(
        series=series,
        sop_instance_uid=instance.sop_instance_uid,
        sop_class_uid=instance.sop_class_uid[:64],
        transfer_syntax_uid=instance.transfer_syntax_uid[:64],
        number=_integer(instance.instance_number),
        rows=instance.rows,
        columns=instance.columns,
        frames=max(1, instance.frames or 1),
        path=instance.path,
        size=instance.size,
        fingerprint=instance.fingerprint,
        received_from=instance.received_from[:16],
        received_at=now(),
    )
    if not _insert_once(row):
        return None
    ImagingSeries.objects.filter(pk=series.pk).update(instance_count=F("instance_count") + 1)
    _count(series.study, row)
    if instance.rows is None:
        publish(
            InstanceStored(
                instance.sop_instance_uid,
                accession_number=instance.accession_number[:16],
                sop_instance_uid=instance.sop_instance_uid,
                sop_class_uid=instance.sop_class_uid,
                study_instance_uid=instance.study_instance_uid,
                path=instance.path,
            ),
            actor=actor,
        )
    return row


def _insert_once(row: ImagingInstance) -> bool:
    """``insert ... on conflict do nothing``: two associations may carry the same object."""
    meta = ImagingInstance._meta
    columns = ", ".join(connection.ops.quote_name(meta.get_field(name).column) for name in COLUMNS)
    marks = ", ".join(["%s"] * len(COLUMNS))
    table = f"{connection.ops.quote_name(connection.schema_name)}.{connection.ops.quote_name(meta.db_table)}"
    with connection.cursor() as cursor:
        cursor.execute(
            f"insert into {table} ({columns}) values ({marks}) on conflict (sop_instance_uid) do nothing returning id",
            [getattr(row, name) for name in COLUMNS],
        )
        answer = cursor.fetchone()
    if answer is None:
        return False
    row.pk = answer[0]
    row._state.adding, row._state.db = False, connection.alias
    return True


def _count(study: ImagingStudy, row: ImagingInstance) -> None:
    """Count up under the row's lock, wind the clock; a study that was complete is open again."""
    moment, quiet = row.received_at, completeness.quiet_time()
    rings = moment + quiet
    ImagingStudy.objects.filter(pk=study.pk).update(
        instance_count=F("instance_count") + 1,
        last_received_at=Greatest(F("last_received_at"), moment),
        completed_at=None,
        settle_after=rings if _clock_is_low(study, moment, quiet) else Coalesce(F("settle_after"), rings),
    )
    expected = study.expected_instance_count
    row.may_complete_study = bool(expected) and study.instance_count + 1 >= expected


def _clock_is_low(study: ImagingStudy, moment: datetime, quiet: timedelta) -> bool:
    """Wind it only when half of it is gone: an indexed column is not to be written with every instance."""
    return study.settle_after is None or study.settle_after < moment + quiet / 2


def _series(instance: StoredInstance, actor: Actor) -> ImagingSeries:
    series = _known_series(instance)
    if series is None:
        study = _known_study(instance)
        series = _make_series(study or _make_study(instance, actor), instance)
    if instance.study_instance_uid not in (series.study.study_instance_uid, series.acquired_study_instance_uid):
        words = _("That series belongs to another study.")
        raise InvalidData(words, errors={"series_instance_uid": words})
    return series


def _known_study(instance: StoredInstance) -> ImagingStudy | None:
    """Of that UID; where a person has merged it into another, that one."""
    study = (
        ImagingStudy.objects.select_related("merged_into")
        .filter(study_instance_uid=instance.study_instance_uid)
        .first()
    )
    return study.merged_into or study if study is not None else None


def _known_series(instance: StoredInstance) -> ImagingSeries | None:
    return (
        ImagingSeries.objects.select_related("study").filter(series_instance_uid=instance.series_instance_uid).first()
    )


def _make_series(study: ImagingStudy, instance: StoredInstance) -> ImagingSeries:
    series = ImagingSeries(
        study=study,
        series_instance_uid=instance.series_instance_uid,
        modality=instance.modality[:16],
        number=_integer(instance.series_number),
        description=instance.series_description[:64],
        body_part=instance.body_part[:16],
        laterality=instance.laterality[:1],
        station_name=instance.station_name[:16],
        manufacturer=instance.manufacturer[:64],
    )
    if study.study_instance_uid != instance.study_instance_uid:
        series.acquired_study_instance_uid = instance.study_instance_uid
    try:
        with transaction.atomic():
            series.save(force_insert=True)
    except IntegrityError:
        return ImagingSeries.objects.select_related("study").get(series_instance_uid=instance.series_instance_uid)
    ImagingStudy.objects.filter(pk=study.pk).update(series_count=F("series_count") + 1)
    _add_modality(study, instance.modality)
    return series


def _add_modality(study: ImagingStudy, modality: str) -> None:
    """``CT\\SR``: the row is locked by the count before it, so none is lost."""
    if not modality:
        return
    current = ImagingStudy.objects.values_list("modalities", flat=True).get(pk=study.pk)
    listed = [value for value in current.split("\\") if value]
    if modality not in listed:
        ImagingStudy.objects.filter(pk=study.pk).update(modalities="\\".join(sorted([*listed, modality]))[:100])


def _make_study(instance: StoredInstance, actor: Actor) -> ImagingStudy:
    """A new study, matched when the match is clear; otherwise put before a person."""
    found = _procedures_meant(instance)
    procedures = lock_procedures(row.pk for row in found)
    study = ImagingStudy(
        study_instance_uid=instance.study_instance_uid,
        accession_number=instance.accession_number[:16],
        patient_id=instance.patient_id[:64],
        issuer_of_patient_id=instance.issuer_of_patient_id[:64],
        patient_name=instance.patient_name[:200],
        patient_birth_date=instance.patient_birth_date[:8],
        patient_sex=instance.patient_sex[:1],
        study_id=instance.study_id[:16],
        description=instance.study_description[:64],
        referring_physician=instance.referring_physician[:200],
        study_date=parse_date(instance.study_date),
        study_time=parse_time(instance.study_time),
    )
    try:
        with transaction.atomic():
            study.save_as(actor, "Received")
    except IntegrityError:
        return ImagingStudy.objects.get(study_instance_uid=instance.study_instance_uid)
    _match(study, procedures, instance, actor)
    record(
        actor, perms.STORE_STUDY, Action.CREATE, entity=study, detail={"study_instance_uid": study.study_instance_uid}
    )
    return study


# --- matching


def _procedures_meant(instance: StoredInstance) -> list[RequestedProcedure]:
    """By Study Instance UID, or as the performed steps of that UID say (group case); else by accession number."""
    by_uid = Q(study_instance_uid=instance.study_instance_uid) | Q(
        steps__performed_steps__study_instance_uid=instance.study_instance_uid
    )
    rows = list(RequestedProcedure.objects.filter(by_uid).distinct())
    if rows or not instance.accession_number:
        return rows
    rows = list(RequestedProcedure.objects.filter(accession_number=instance.accession_number))
    fitting = [row for row in rows if row.modality == instance.modality]
    return fitting if len(rows) > 1 and fitting else rows


def _match(study: ImagingStudy, procedures: list[RequestedProcedure], instance: StoredInstance, actor: Actor) -> None:
    """Never by itself when the patient differs; by accession number alone only when the patient agrees."""
    sent = Sent(
        instance.patient_id,
        instance.issuer_of_patient_id,
        instance.patient_name,
        instance.patient_birth_date,
        instance.patient_sex,
    )
    verdicts = {row.pk: agreement(row.order.patient, sent) for row in procedures}
    by_uid = any(row.study_instance_uid == study.study_instance_uid for row in procedures)
    good = {Agreement.AGREES, Agreement.UNKNOWN} if by_uid else {Agreement.AGREES}
    clear = [row for row in procedures if verdicts[row.pk] in good]
    is_ambiguous = len(clear) > 1 and not by_uid and not _performed_together(study)
    if clear and not is_ambiguous:
        for procedure in clear:
            completeness.add_procedure(study, procedure, actor=actor)
        return
    station = station_of(actor, instance.received_from)
    other = next((row for row in procedures if verdicts[row.pk] is Agreement.DIFFERS), None)
    if other is not None and not clear:
        raise_exception(
            ExceptionKind.PATIENT_DIFFERS,
            study=study,
            procedure=other,
            station=station,
            detail={"differs": differences(other.order.patient, sent)},
            actor=actor,
        )
    else:
        raise_exception(ExceptionKind.UNMATCHED_STUDY, study=study, station=station, actor=actor)


def _performed_together(study: ImagingStudy) -> bool:
    return RequestedProcedure.objects.filter(
        steps__performed_steps__study_instance_uid=study.study_instance_uid
    ).exists()


# --- strings on the wire


def _integer(value: object) -> int | None:
    """An IS that fits its column."""
    try:
        number = int(str(value))
    except ValueError:
        return None
    return number if -(2**31) <= number < 2**31 else None


def parse_date(value: str) -> date | None:
    """DA, also with the dots of ACR-NEMA; None for what is no date."""
    digits = re.sub(r"\D", "", value or "")[:8]
    try:
        return datetime.strptime(digits, "%Y%m%d").date() if len(digits) == 8 else None
    except ValueError:
        return None


def parse_time(value: str) -> time | None:
    """TM at any precision, also with colons; None for what is no time."""
    digits = re.sub(r"[^\d]", "", (value or "").partition(".")[0])[:6]
    for length, pattern in ((6, "%H%M%S"), (4, "%H%M"), (2, "%H")):
        if len(digits) >= length:
            try:
                return datetime.strptime(digits[:length], pattern).time()
            except ValueError:
                return None
    return None
