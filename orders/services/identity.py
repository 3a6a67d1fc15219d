"""One person, one record: who may be the same, who was found to be, and the way back (IHE PIR, ADT^A40)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext as _

from orders import permissions as perms
from orders.duplicates import Candidate, Query, rank
from orders.events import PatientsMerged, PatientsUnmerged
from orders.models import (
    IdentifierUse,
    Patient,
    PatientIdentifier,
    PatientLink,
    PatientMerge,
    PatientUserObjectPermission,
    RequestedProcedure,
)
from orders.querysets import patient_condition
from orders.services.patients import sign
from orders.validation import Errors, short_string
from orders.validation import birth_date as checked_birth_date
from ris.audit.service import record_read, service
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidData
from ris.events.bus import publish

#: What a merge leaves with the losing record, because it tells of that record itself.
STAYS = (PatientMerge, Patient, PatientUserObjectPermission, PatientLink)


def find_duplicates(
    *,
    actor: Actor,
    family_name: str = "",
    given_name: str = "",
    birth_date: Any = None,
    birth_date_is_estimated: bool = False,
    phone: str = "",
    identifiers: Iterable[Any] = (),
) -> list[Candidate]:
    """Who this may be, best first, each with the reasons; of those whom the actor may see.

    ``identifiers`` are strings, (value, issuer) pairs or mappings with ``value``. An impossible birth date is left out.
    """
    actor.require(perms.VIEW_PATIENT)
    values = []
    for row in identifiers:
        value = row.get("value") if isinstance(row, dict) else row[0] if isinstance(row, (tuple, list)) else row
        values.append(str(value or "").strip())
    born = checked_birth_date(birth_date, Errors())
    query = Query.of(f"{family_name} {given_name}", born, phone, values, is_about=birth_date_is_estimated)
    candidates = rank(query, Patient.objects.visible_to(actor).current()) if query else []
    record_read(
        actor,
        "orders.find_duplicates",
        patients=[candidate.patient.uuid for candidate in candidates],
        detail={"rows": len(candidates)},
    )
    return candidates


def resolve_patient(*, identifiers: Iterable[tuple[str, str | None]], actor: Actor) -> Patient | None:
    """The one patient who has these identifiers, after any merge; None when nobody has.

    Raises Conflict when they belong to several people.
    """
    actor.require(perms.VIEW_PATIENT)
    condition = models.Q(pk__in=[])
    for value, issuer in identifiers:
        if value:
            condition |= models.Q(value=value, issuer=issuer) if issuer else models.Q(value=value)
    rows = PatientIdentifier.objects.filter(condition, patient_condition(actor, "patient__"))
    found = {survivor_of(row.patient).pk: row.patient for row in rows.select_related("patient")}
    if len(found) > 1:
        raise Conflict(
            _("These identifiers belong to several patients."),
            asked=_("One patient by identifiers."),
            found=_("%(count)d records have them.") % {"count": len(found)},
            todo=_("Say the issuer, or merge the records when they are one person."),
        )
    return survivor_of(next(iter(found.values()))) if found else None


def survivor_of(patient: Patient) -> Patient:
    """Whoever stands for this record now."""
    while patient.merged_into is not None:
        patient = patient.merged_into
    return patient


def _models_of_patient() -> list[tuple[type[models.Model], str]]:
    """Every table of this app that points at a patient, with the field that does (history apart)."""
    found = []
    for model in apps.get_app_config("orders").get_models():
        if model in STAYS or hasattr(model, "history_type") or "history_id" in {f.name for f in model._meta.fields}:
            continue
        for field in model._meta.concrete_fields:
            if field.is_relation and field.related_model is Patient:
                found.append((model, field.name))
    return found


def locked_pair(first: Patient, second: Patient) -> tuple[Patient, Patient]:
    """Both rows, locked by key, so that two opposite merges cannot wait for each other."""
    rows = {pk: Patient.locked(pk) for pk in sorted({first.pk, second.pk})}
    return rows[first.pk], rows[second.pk]


def _refuse_merge(survivor: Patient, loser: Patient) -> None:
    if survivor.pk == loser.pk:
        raise InvalidData(
            _("A record cannot be merged into itself."),
            asked=_("A merge of two records."),
            found=_("Both are the same record."),
            todo=_("Choose the other record."),
            errors={"loser": [_("This is the same record.")]},
        )
    if loser.merged_into_id is not None:
        raise Conflict(
            _("The losing record has been merged already."),
            found=_("It was merged into a third record."),
            todo=_("Merge that record, or undo the earlier merge first."),
        )
    if survivor.merged_into_id is not None:
        is_reversed = survivor_of(survivor).pk == loser.pk
        raise Conflict(
            _("The surviving record is itself merged into another one."),
            found=_("It was merged into the very record that would be lost.") if is_reversed else _("It was merged."),
            todo=_("Undo the earlier merge, or choose the record that is still used."),
        )


@service(perms.MERGE_PATIENTS)
def merge_patients(*, survivor: Patient, loser: Patient, reason: str, actor: Actor) -> PatientMerge:
    """Everything of ``loser`` becomes ``survivor``'s, in one transaction; every moved row is written down.

    Repeating a merge changes nothing. Identifiers come along; those in which the survivor has its own become ``old``.
    """
    errors = Errors()
    reason = short_string(reason, "reason", errors, length=200, required=True)
    errors.raise_if_any(_("This needs a reason."))
    survivor, loser = locked_pair(survivor, loser)
    if loser.merged_into_id == survivor.pk and survivor.pk != loser.pk:
        return PatientMerge.objects.get(loser=loser, undone_at__isnull=True)
    _refuse_merge(survivor, loser)
    now = timezone.now()
    before: dict[str, Any] = {
        "is_restricted": survivor.is_restricted,
        "identifier_use": _age_identifiers(survivor, loser),
    }
    before["grants"] = _share_grants(survivor, loser)
    moved = _move_rows(loser, survivor, actor, reason)
    merge = PatientMerge(
        survivor=survivor,
        loser=loser,
        moved=moved,
        before=before,
        reason=reason,
        source=actor.source[:20],
        merged_at=now,
    )
    sign(merge, actor, reason)
    loser.merged_into, loser.merged_at = survivor, now
    loser.save_as(actor, reason)
    survivor.is_restricted = survivor.is_restricted or loser.is_restricted
    survivor.save_as(actor, reason)
    publish(
        PatientsMerged(
            str(survivor.uuid),
            version=survivor.version,
            loser=str(loser.uuid),
            merge=str(merge.uuid),
            procedures=_procedures_of(moved),
        ),
        actor=actor,
    )
    return merge


def _age_identifiers(survivor: Patient, loser: Patient) -> dict[str, str]:
    """Uses that will change: {key: use as it was}. One person has one usual number per issuer and type."""
    own = set(survivor.identifiers.exclude(use=IdentifierUse.OLD).values_list("issuer", "type"))
    ageing = (IdentifierUse.TEMPORARY, IdentifierUse.USUAL)
    return {
        str(row.pk): row.use
        for row in loser.identifiers.all()
        if row.use == IdentifierUse.TEMPORARY or ((row.issuer, row.type) in own and row.use in ageing)
    }


def _share_grants(survivor: Patient, loser: Patient) -> list[int]:
    """Who may see the restricted losing record may see the survivor; answers the keys of the new grants."""
    made = []
    for grant in PatientUserObjectPermission.objects.filter(content_object=loser):
        row, is_new = PatientUserObjectPermission.objects.get_or_create(
            user=grant.user, permission=grant.permission, content_object=survivor
        )
        if is_new:
            made.append(row.pk)
    return made


def _move_rows(source: Patient, target: Patient, actor: Actor, reason: str) -> dict[str, list[int]]:
    moved: dict[str, list[int]] = {}
    ageing = _age_identifiers(target, source)
    for model, field in _models_of_patient():
        rows = model._default_manager.filter(**{field: source}).select_for_update(of=("self",)).order_by("pk")
        for row in rows:
            if isinstance(row, PatientIdentifier) and str(row.pk) in ageing:
                row.use = IdentifierUse.OLD
            _repoint(row, field, target, actor, reason)
            moved.setdefault(model._meta.label_lower, []).append(row.pk)
    return moved


def _repoint(row: Any, field: str, target: Patient, actor: Actor, reason: str) -> None:
    setattr(row, field, target)
    if hasattr(row, "save_as"):
        row.save_as(actor, reason)
    else:
        sign(row, actor, reason)


def _procedures_of(moved: dict[str, list[int]]) -> list[str]:
    procedures = RequestedProcedure.objects.filter(order__in=moved.get("orders.order", []))
    return [str(uuid) for uuid in procedures.order_by("pk").values_list("uuid", flat=True)]


@service(perms.MERGE_PATIENTS)
def unmerge_patients(merge: PatientMerge, *, reason: str = "", actor: Actor) -> PatientMerge:
    """Give every moved row back that is still where the merge put it. What came after the merge stays with the
    survivor, for a person to decide (``selectors.rows_after_merge``). Repeating it changes nothing.
    """
    reason = reason.strip()[:150] or _("Merge undone")
    survivor, loser = locked_pair(merge.survivor, merge.loser)
    merge = PatientMerge.objects.select_for_update(of=("self",)).get(pk=merge.pk)
    if merge.undone_at is not None:
        return merge
    if survivor.merged_into_id is not None:
        raise Conflict(
            _("The surviving record has been merged into a third one since."),
            todo=_("Undo that merge first."),
        )
    uses = merge.before.get("identifier_use", {})
    for model, field in _models_of_patient():
        keys = merge.moved.get(model._meta.label_lower, [])
        rows = model._default_manager.filter(pk__in=keys, **{field: survivor}).select_for_update(of=("self",))
        for row in rows.order_by("pk"):
            if isinstance(row, PatientIdentifier) and str(row.pk) in uses:
                row.use = uses[str(row.pk)]
            _repoint(row, field, loser, actor, reason)
    _withdraw_grants(merge)
    loser.merged_into = loser.merged_at = None
    loser.save_as(actor, reason)
    if loser.is_restricted:  # what was restricted for another reason since stays so
        survivor.is_restricted = merge.before.get("is_restricted", survivor.is_restricted)
    survivor.save_as(actor, reason)
    merge.undone_at = timezone.now()
    sign(merge, actor, reason)
    publish(
        PatientsUnmerged(
            str(survivor.uuid),
            version=survivor.version,
            loser=str(loser.uuid),
            merge=str(merge.uuid),
            procedures=_procedures_of(merge.moved),
        ),
        actor=actor,
    )
    return merge


def _withdraw_grants(merge: PatientMerge) -> None:
    """The grants that the merge made open nothing any more: they go back to the losing record, which has them too."""
    PatientUserObjectPermission.objects.filter(pk__in=merge.before.get("grants", [])).delete()
