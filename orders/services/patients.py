"""Patients: registered, corrected, restricted, warned of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone
from django.utils.translation import gettext as _

from orders import permissions as perms
from orders import validation
from orders.events import PatientRegistered, PatientUpdated
from orders.models import (
    IdentifierIssuer,
    IdentifierType,
    IdentifierUse,
    Patient,
    PatientAlert,
    PatientIdentifier,
    PatientUserObjectPermission,
    Sex,
    Visit,
)
from orders.validation import CHECK_DIGITS, NAME_LENGTHS, Errors
from ris.accounts.models import User
from ris.accounts.selectors import facility_settings
from ris.accounts.sequences import next_value
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import AlreadyExists, Conflict, InvalidData
from ris.core.lifecycle import signed
from ris.events.bus import publish

IdentifierData = Mapping[str, str]
FLAGS = ("birth_date_is_estimated", "is_restricted", "identity_is_unverified", "is_deceased")
FIELDS = frozenset(
    {
        *NAME_LENGTHS,
        *FLAGS,
        "birth_date",
        "sex",
        "phone",
        "email",
        "address",
        "language",
        "next_of_kin",
        "weight_kg",
        "height_m",
    }
)


def clean_fields(values: Mapping[str, Any], errors: Errors) -> dict[str, Any]:
    """The given fields of a patient as they may be stored; what cannot be is said in ``errors``."""
    for field in values.keys() - FIELDS:
        errors.add(field, _("This cannot be set."))
    cleaned: dict[str, Any] = validation.names(values, errors)
    cleaned.update({flag: bool(values[flag]) for flag in FLAGS if flag in values})
    if "birth_date" in values:
        cleaned["birth_date"] = validation.birth_date(values["birth_date"], errors)
    if "sex" in values:
        cleaned["sex"] = validation.choice(values["sex"] or Sex.UNKNOWN, Sex, "sex", errors)
    if "phone" in values:
        cleaned["phone"] = validation.phone(values["phone"], errors)
    if "email" in values:
        cleaned["email"] = validation.email(values["email"], errors)
    if "address" in values:
        cleaned["address"] = validation.long_text(values["address"], "address", errors, length=500)
    if "language" in values:
        cleaned["language"] = validation.short_string(values["language"], "language", errors, length=8)
    if "next_of_kin" in values:
        cleaned["next_of_kin"] = validation.short_string(values["next_of_kin"], "next_of_kin", errors, length=200)
    if "weight_kg" in values:
        cleaned["weight_kg"] = validation.decimal(values["weight_kg"], "weight_kg", errors, low="0.1", high="700")
    if "height_m" in values:
        cleaned["height_m"] = validation.decimal(values["height_m"], "height_m", errors, low="0.1", high="2.8")
    return cleaned


def clean_identifiers(rows: Iterable[IdentifierData], errors: Errors) -> list[dict[str, str]]:
    """Identifiers as (value, issuer, type, use), each as its issuer writes them."""
    settings = facility_settings()
    cleaned: list[dict[str, str]] = []
    own = Errors()
    for row in rows:
        value = validation.short_string(row.get("value"), "value", own, length=64, required=True)
        issuer = validation.short_string(row.get("issuer") or settings.patient_id_issuer, "issuer", own, length=64)
        kind = validation.choice(row.get("type") or IdentifierType.MEDICAL_RECORD, IdentifierType, "type", own)
        use = validation.choice(row.get("use") or IdentifierUse.USUAL, IdentifierUse, "use", own)
        if any(sign in value + issuer for sign in "^~|&"):
            own.add("value", _("The signs ^ ~ | & are not allowed."))
        is_own = kind == IdentifierType.MEDICAL_RECORD and issuer == settings.patient_id_issuer
        if is_own and not re.fullmatch(settings.mrn_syntax, value):
            own.add("value", _("This is not what a medical record number of this facility looks like."))
        found = {"value": value, "issuer": issuer, "type": kind, "use": use}
        if (value, issuer, kind) not in {(c["value"], c["issuer"], c["type"]) for c in cleaned}:
            cleaned.append(found)
    _check_syntax(cleaned, own)
    for messages in own.found.values():
        for message in messages:
            errors.add("identifiers", message)
    return cleaned


def _check_syntax(rows: list[dict[str, str]], errors: Errors) -> None:
    """What an issuer gives out looks as the facility has written down, and its check digit is right."""
    if not rows:
        return
    known = IdentifierIssuer.objects.filter(is_active=True, issuer__in={row["issuer"] for row in rows})
    rules = {(rule.issuer, rule.type): rule for rule in known}
    for row in rows:
        rule = rules.get((row["issuer"], row["type"]))
        if rule is None:
            continue
        example = _(" For example: %(example)s.") % {"example": rule.example} if rule.example else ""
        if rule.syntax and not re.fullmatch(rule.syntax, row["value"]):
            errors.add("value", _("A number of %(issuer)s looks different.") % {"issuer": rule} + example)
        elif rule.check_digit and not CHECK_DIGITS[rule.check_digit](row["value"]):
            errors.add(
                "value", _("The check digit of this number of %(issuer)s is wrong: a typing error?") % {"issuer": rule}
            )


def mint_mrn() -> str:
    """The facility's next medical record number that nobody has."""
    settings = facility_settings()
    while True:
        number = next_value("mrn")
        try:
            value = settings.mrn_pattern.format(prefix=settings.mrn_prefix, seq=number, yy=f"{timezone.localdate():%y}")
        except (KeyError, IndexError, ValueError, AttributeError):
            raise Conflict(
                _("No medical record number can be made."),
                found=_("The facility's pattern of medical record numbers is not a pattern."),
                todo=_("Ask your administrator to correct it; {prefix} and {seq:07} may stand in it."),
            ) from None
        if not PatientIdentifier.objects.filter(
            value=value, issuer=settings.patient_id_issuer, type=IdentifierType.MEDICAL_RECORD
        ).exists():
            return value


def refuse_merged(patient: Patient) -> None:
    if patient.merged_into_id is not None:
        raise Conflict(
            _("This record has been merged into another one."),
            asked=_("A change to a record that is no longer used."),
            found=_("It was merged; it stays for reading only."),
            todo=_("Open the record that it was merged into and do it there."),
        )


def save_identifier(patient: Patient, row: IdentifierData, actor: Actor) -> PatientIdentifier:
    """Raises AlreadyExists when another patient has it; without saying who."""
    same = PatientIdentifier.objects.filter(value=row["value"], issuer=row["issuer"], type=row["type"]).first()
    if same is not None and same.patient_id != patient.pk:
        raise AlreadyExists(
            _("Another patient has this identifier."),
            asked=_("An identifier for this patient."),
            found=_("The same identifier of the same issuer belongs to another record."),
            todo=_("Search for the identifier: it may be the same person."),
            errors={"identifiers": [_("Another patient has this identifier.")]},
        )
    identifier = same or PatientIdentifier(patient=patient, value=row["value"], issuer=row["issuer"], type=row["type"])
    if same is None or same.use != row["use"]:
        identifier.use = row["use"]
        sign(identifier, actor, _("Identifier added") if same is None else _("Identifier changed"))
    return identifier


def sign(row: Any, actor: Actor, reason: str) -> None:
    """Save a row that has history but no version."""
    row._history_user = actor.user
    row._change_reason = signed(reason, actor)
    row.save()


@service(perms.REGISTER_PATIENT, action=Action.CREATE)
def register_patient(
    *,
    family_name: str,
    given_name: str = "",
    middle_name: str = "",
    prefix: str = "",
    suffix: str = "",
    ideographic_name: str = "",
    phonetic_name: str = "",
    birth_date: Any = None,
    birth_date_is_estimated: bool = False,
    sex: str = "U",
    phone: str = "",
    email: str = "",
    address: str = "",
    language: str = "",
    next_of_kin: str = "",
    is_restricted: bool = False,
    identity_is_unverified: bool = False,
    identifiers: Iterable[IdentifierData] | None = None,
    weight_kg: Any = None,
    height_m: Any = None,
    actor: Actor,
) -> Patient:
    """Create a patient. Without a medical record number among ``identifiers`` the facility's own is minted."""
    errors = Errors()
    given = {name: value for name, value in locals().items() if name in FIELDS}
    cleaned = clean_fields(given, errors)
    rows = clean_identifiers(identifiers or (), errors)
    if not errors.found:
        validation.name_group_fits(cleaned, errors)
    errors.raise_if_any(_("The patient was not registered."))
    if cleaned["is_restricted"]:
        actor.require(perms.RESTRICT_PATIENT)
    if not any(row["type"] == IdentifierType.MEDICAL_RECORD for row in rows):
        rows.insert(0, own_number())
    return store_new(Patient(**cleaned), rows, actor, _("Registered"))


def own_number() -> dict[str, str]:
    """A medical record number of this facility that nobody has had."""
    issuer = facility_settings().patient_id_issuer
    return {
        "value": mint_mrn(),
        "issuer": issuer,
        "type": IdentifierType.MEDICAL_RECORD,
        "use": IdentifierUse.USUAL,
    }


def store_new(patient: Patient, identifiers: Iterable[IdentifierData], actor: Actor, reason: str) -> Patient:
    patient.save_as(actor, reason)
    for row in identifiers:
        save_identifier(patient, row, actor)
    publish(PatientRegistered(str(patient.uuid), version=patient.version), actor=actor)
    return patient


@service(perms.UPDATE_PATIENT)
def update_patient(
    patient: Patient,
    *,
    actor: Actor,
    reason: str = "",
    identifiers: Iterable[IdentifierData] | None = None,
    **fields: Any,
) -> Patient:
    """Correct some fields and add identifiers (an identifier is never taken away: its use becomes ``old``)."""
    patient = Patient.locked(patient.pk)
    refuse_merged(patient)
    errors = Errors()
    cleaned = clean_fields(fields, errors)
    rows = clean_identifiers(identifiers or (), errors)
    if not errors.found:
        validation.name_group_fits({name: getattr(patient, name) for name in NAME_LENGTHS} | cleaned, errors)
    errors.raise_if_any(_("The patient was not changed."))
    if cleaned.get("is_restricted", patient.is_restricted) != patient.is_restricted:
        actor.require(perms.RESTRICT_PATIENT)
    changed = {name: value for name, value in cleaned.items() if getattr(patient, name) != value}
    own = PatientIdentifier.objects.filter(patient=patient).values_list("value", "issuer", "type", "use")
    before = set(own) if rows else set()
    new = [row for row in rows if tuple(row.values()) not in before]
    if not changed and not new:
        return patient
    for name, value in changed.items():
        setattr(patient, name, value)
    patient.save_as(actor, reason or _("Corrected"))
    for row in new:
        save_identifier(patient, row, actor)
    publish(PatientUpdated(str(patient.uuid), version=patient.version), actor=actor)
    return patient


def note_patient_changed(patient: Patient, actor: Actor, reason: str) -> Patient:
    """Something that belongs to the patient has changed: a new version, and whoever shows it hears."""
    patient.save_as(actor, reason)
    publish(PatientUpdated(str(patient.uuid), version=patient.version), actor=actor)
    return patient


@service(perms.UPDATE_PATIENT, action=Action.CREATE)
def add_alert(patient: Patient, *, kind: str, text: str, actor: Actor) -> PatientAlert:
    """Warn of an allergy, isolation, an implant ..., on every page and on the worklist."""
    patient = Patient.locked(patient.pk)
    refuse_merged(patient)
    errors = Errors()
    kind = validation.choice(kind, PatientAlert.Kind, "kind", errors)
    text = validation.short_string(text, "text", errors, length=200, required=True)
    errors.raise_if_any()
    known = patient.alert_rows.filter(kind=kind, text__iexact=text, is_active=True).first()
    if known is not None:
        return known
    alert = PatientAlert(patient=patient, kind=kind, text=text)
    sign(alert, actor, _("Alert added"))
    note_patient_changed(patient, actor, _("Alert added"))
    return alert


@service(perms.UPDATE_PATIENT)
def end_alert(alert: PatientAlert, *, reason: str = "", actor: Actor) -> PatientAlert:
    """It no longer holds; the row stays."""
    patient = Patient.locked(alert.patient_id)
    alert = PatientAlert.objects.select_for_update(of=("self",)).get(pk=alert.pk)
    if alert.is_active:
        alert.is_active = False
        sign(alert, actor, reason or _("Alert ended"))
        note_patient_changed(patient, actor, _("Alert ended"))
    return alert


@service(perms.UPDATE_PATIENT)
def retire_identifier(identifier: PatientIdentifier, *, actor: Actor) -> PatientIdentifier:
    """It is kept and still found, and no longer shown as the patient's number."""
    patient = Patient.locked(identifier.patient_id)
    identifier = PatientIdentifier.objects.select_for_update(of=("self",)).get(pk=identifier.pk)
    others = patient.identifiers.exclude(pk=identifier.pk).exclude(use=IdentifierUse.OLD)
    if not others.exists():
        raise Conflict(
            _("This is the only identifier that the patient has."),
            todo=_("Add another one first."),
        )
    identifier.use = IdentifierUse.OLD
    sign(identifier, actor, _("Identifier retired"))
    note_patient_changed(patient, actor, _("Identifier retired"))
    return identifier


@service(perms.RESTRICT_PATIENT)
def grant_access(patient: Patient, *, user: User, actor: Actor) -> Patient:
    """Let one person see this restricted patient; may be repeated."""
    PatientUserObjectPermission.objects.get_or_create(
        user=user, content_object=patient, permission=_restricted_permission()
    )
    return patient


@service(perms.RESTRICT_PATIENT)
def withdraw_access(patient: Patient, *, user: User, actor: Actor) -> Patient:
    """Take one person's own access away; may be repeated. What the audit noted of it stays."""
    PatientUserObjectPermission.objects.filter(user=user, content_object=patient).delete()
    return patient


@service(perms.RESTRICT_PATIENT)
def set_restricted(patient: Patient, *, is_restricted: bool, reason: str, actor: Actor) -> Patient:
    """Restrict a patient, or open the record again; says why."""
    patient = Patient.locked(patient.pk)
    refuse_merged(patient)
    if not reason.strip():
        raise InvalidData(_("Say why."), errors={"reason": [_("This is needed.")]})
    if patient.is_restricted != is_restricted:
        patient.is_restricted = is_restricted
        note_patient_changed(patient, actor, reason)
    return patient


def _restricted_permission() -> Permission:
    """Facilities are clones of one template, where Django's own permissions may not have been made yet."""
    return Permission.objects.get_or_create(
        codename="view_restricted_patient",
        content_type=ContentType.objects.get_for_model(Patient),
        defaults={"name": "Can see this restricted patient"},
    )[0]


@service(perms.UPDATE_PATIENT)
def record_visit(
    patient: Patient,
    *,
    visit_number: str,
    issuer: str = "",
    patient_class: str = "O",
    location: str = "",
    admitted_at: Any = None,
    discharged_at: Any = None,
    actor: Actor,
) -> Visit:
    """A stay or a call of the patient; the same number of the same issuer is the same visit."""
    refuse_merged(patient)
    errors = Errors()
    number = validation.short_string(visit_number, "visit_number", errors, length=64, required=True)
    issuer = validation.short_string(issuer, "issuer", errors, length=64)
    location = validation.short_string(location, "location", errors, length=100)
    errors.raise_if_any()
    visit = Visit.objects.filter(visit_number=number, issuer=issuer).first()
    if visit is None:
        visit = Visit(patient=patient, visit_number=number, issuer=issuer)
    elif visit.patient_id != patient.pk:
        raise Conflict(
            _("Another patient has this visit number."),
            todo=_("Ask the sender which patient the visit belongs to."),
            errors={"visit_number": [_("Another patient has this visit number.")]},
        )
    visit.patient_class = (patient_class or "O")[:1]
    visit.location = location or visit.location
    visit.admitted_at = admitted_at or visit.admitted_at
    visit.discharged_at = discharged_at or visit.discharged_at
    visit.cancelled_at = None
    sign(visit, actor, _("Visit recorded"))
    return visit


@service(perms.UPDATE_PATIENT)
def change_visit(visit: Visit, *, actor: Actor, **fields: Any) -> Visit:
    """Move it (``location``), end or reopen it (``discharged_at``), take it back (``cancelled_at``)."""
    visit = Visit.objects.select_for_update(of=("self",)).get(pk=visit.pk)
    errors = Errors()
    for name in fields.keys() - {"location", "discharged_at", "cancelled_at"}:
        errors.add(name, _("This cannot be set."))
    if "location" in fields:
        fields["location"] = validation.short_string(fields["location"], "location", errors, length=100)
    errors.raise_if_any()
    if any(getattr(visit, name) != value for name, value in fields.items()):
        for name, value in fields.items():
            setattr(visit, name, value)
        sign(visit, actor, _("Visit changed"))
    return visit
