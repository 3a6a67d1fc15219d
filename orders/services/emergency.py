"""Nobody knows who it is: registered in one click under an alias, identified later (IHE PIR).

The alias cannot be taken for a name of a person; the temporary number says the day. Later the record gets its name
(``identify_patient``), or turns out to be somebody known (``merge_patients``).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from orders import permissions as perms
from orders import validation
from orders.events import PatientIdentified, PatientUpdated
from orders.models import IdentifierType, IdentifierUse, Patient, RequestedProcedure, Sex
from orders.services.patients import (
    IdentifierData,
    clean_fields,
    clean_identifiers,
    own_number,
    refuse_merged,
    save_identifier,
    sign,
    store_new,
)
from orders.validation import NAME_LENGTHS, Errors
from ris.accounts.selectors import facility_settings
from ris.accounts.sequences import next_value
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import Conflict
from ris.events.bus import publish

ALIAS_FAMILY = "EMERG"
COLOURS = (
    "Amber", "Azure", "Blue", "Bronze", "Copper", "Coral", "Crimson", "Emerald", "Golden", "Green",
    "Indigo", "Ivory", "Jade", "Lilac", "Olive", "Orange", "Pearl", "Scarlet", "Silver", "Violet",
)  # fmt: skip
BIRDS = (
    "Bustard", "Crane", "Cuckoo", "Eagle", "Egret", "Falcon", "Finch", "Flamingo", "Heron", "Hoopoe",
    "Hornbill", "Ibis", "Kestrel", "Osprey", "Owl", "Pelican", "Plover", "Stork", "Swift", "Weaver",
)  # fmt: skip
#: So long an alias is not given to anybody else.
RESTS_FOR = timedelta(days=30)
TRIES = 40
OLDEST_AGE = 130


@service(perms.REGISTER_PATIENT, action=Action.CREATE)
def register_emergency(*, sex: str = "U", estimated_age: Any = None, actor: Actor) -> Patient:
    """One click: an alias, a temporary number, nothing else is asked. The record says everywhere who it is not."""
    errors = Errors()
    sex = validation.choice(sex or Sex.UNKNOWN, Sex, "sex", errors)
    age = validation.decimal(estimated_age, "estimated_age", errors, low="0", high=str(OLDEST_AGE))
    errors.raise_if_any(_("The patient was not registered."))
    today = timezone.localdate()
    patient = Patient(
        family_name=ALIAS_FAMILY,
        given_name=_free_alias(),
        sex=sex,
        birth_date=date(today.year - int(age), 1, 1) if age is not None else None,
        birth_date_is_estimated=age is not None,
        identity_is_unverified=True,
    )
    number = next_value(f"emergency:{today:%Y%m%d}")
    temporary = {
        "value": f"TMP-{today:%Y%m%d}-{number:02}",
        "issuer": facility_settings().patient_id_issuer,
        "type": IdentifierType.TEMPORARY,
        "use": IdentifierUse.TEMPORARY,
    }
    return store_new(patient, [temporary], actor, _("Registered without identity"))


def _free_alias() -> str:
    """Words that nobody else bears who is unidentified, or was lately; numbered when the words run out."""
    since = timezone.now() - RESTS_FOR
    lately = Patient.history.filter(family_name=ALIAS_FAMILY, history_date__gte=since)
    now = Patient.objects.filter(name_words__query=ALIAS_FAMILY, family_name=ALIAS_FAMILY)
    taken = {*lately.values_list("given_name", flat=True), *now.values_list("given_name", flat=True)}
    words = [word for word in facility_settings().emergency_words if word.strip()]
    for _try in range(TRIES):
        alias = secrets.choice(words) if words else f"{secrets.choice(COLOURS)}-{secrets.choice(BIRDS)}"
        if alias not in taken:
            return alias
    number = 2
    while f"{alias}-{number}" in taken:
        number += 1
    return f"{alias}-{number}"


@service(perms.UPDATE_PATIENT)
def identify_patient(
    patient: Patient,
    *,
    family_name: str,
    reason: str,
    identifiers: Iterable[IdentifierData] | None = None,
    actor: Actor,
    **fields: Any,
) -> Patient:
    """Give an unidentified record its name, because nobody here was registered as this person before.

    The temporary number becomes ``old``; a medical record number is minted when none is given.
    """
    patient = Patient.locked(patient.pk)
    refuse_merged(patient)
    if not patient.identity_is_unverified:
        raise Conflict(
            _("The identity of this patient is confirmed already."),
            asked=_("A name for an unidentified patient."),
            found=_("Somebody has identified the patient since."),
            todo=_("Correct the patient, if the name is wrong."),
        )
    errors = Errors()
    fields.pop("identity_is_unverified", None)
    cleaned = clean_fields({"family_name": family_name, **fields}, errors)
    rows = clean_identifiers(identifiers or (), errors)
    reason = validation.short_string(reason, "reason", errors, length=150, required=True)
    if not errors.found:
        validation.name_group_fits(_whole_name(cleaned), errors)
    errors.raise_if_any(_("The patient was not identified."))
    for name, value in (_whole_name(cleaned) | cleaned).items():
        setattr(patient, name, value)
    patient.identity_is_unverified = False
    _replace_numbers(patient, rows, actor)
    patient.save_as(actor, reason)
    publish(PatientUpdated(str(patient.uuid), version=patient.version), actor=actor)
    publish(
        PatientIdentified(str(patient.uuid), version=patient.version, procedures=_procedures_of(patient)), actor=actor
    )
    return patient


def _whole_name(cleaned: dict[str, Any]) -> dict[str, str]:
    """Nothing of the alias stays."""
    return {name: cleaned.get(name, "") for name in NAME_LENGTHS}


def _replace_numbers(patient: Patient, rows: list[dict[str, str]], actor: Actor) -> None:
    kinds = {row["type"] for row in rows} | set(patient.identifiers.values_list("type", flat=True))
    if IdentifierType.MEDICAL_RECORD not in kinds:
        rows.insert(0, own_number())
    for row in patient.identifiers.filter(use=IdentifierUse.TEMPORARY):
        row.use = IdentifierUse.OLD
        sign(row, actor, _("Identified"))
    for row in rows:
        save_identifier(patient, row, actor)


def _procedures_of(patient: Patient) -> list[str]:
    rows = RequestedProcedure.objects.filter(order__patient=patient).order_by("pk")
    return [str(uuid) for uuid in rows.values_list("uuid", flat=True)]
