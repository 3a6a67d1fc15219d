"""Whose is it: does the patient in an object agree with the patient of a procedure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from orders.models import Patient, PatientIdentifier, RequestedProcedure


class Agreement(Enum):
    AGREES = "agrees"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Sent:
    """The patient as an object or message says it; strings as on the wire."""

    patient_id: str = ""
    issuer: str = ""
    name: str = ""
    birth_date: str = ""
    sex: str = ""


def name_parts(name: str) -> frozenset[str]:
    """Comparable parts of a PN (all component groups) or of typed words: no case, accents, order or titles."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    return frozenset(part for part in re.split(r"[\s^=,.\-']+", plain) if part)


def parts_of(patient: Patient) -> frozenset[str]:
    return name_parts(" ".join((patient.family_name, patient.given_name, patient.middle_name)))


def all_parts_of(patient: Patient) -> frozenset[str]:
    return name_parts(patient.dicom_name)


def names_agree(patient: Patient, name: str) -> bool:
    """Every part of the shorter name is in the longer one, and at least two are (or all there are)."""
    sent, own = name_parts(name), all_parts_of(patient)
    core = parts_of(patient)
    if not sent or not core:
        return False
    common = sent & own
    return (sent <= own or core <= sent) and len(common) >= min(2, len(core))


def birth_dates_agree(patient: Patient, birth_date: str) -> bool | None:
    """None when either side has none."""
    if not birth_date.strip() or patient.birth_date is None:
        return None
    return birth_date.strip().replace(".", "") == f"{patient.birth_date:%Y%m%d}"


def identifier_agrees(patient: Patient, patient_id: str, issuer: str) -> bool:
    value, issuer = patient_id.strip(), issuer.strip()
    return any(
        row.value == value and (not issuer or row.issuer.casefold() == issuer.casefold())
        for row in patient.identifiers.all()
    )


def belongs_to_another(patient: Patient, patient_id: str, issuer: str) -> bool:
    rows = PatientIdentifier.objects.filter(value=patient_id.strip()).exclude(patient=patient)
    if issuer.strip():
        rows = rows.filter(issuer__iexact=issuer.strip())
    return rows.exists()


def agreement(patient: Patient, sent: Sent) -> Agreement:
    """Identifier with its issuer, or name parts with the birth date. What contradicts differs, whatever else fits.

    An identifier that fits while both name and birth date are somebody else's was typed wrongly: it differs.
    """
    born = birth_dates_agree(patient, sent.birth_date)
    named = names_agree(patient, sent.name) if sent.name.strip("^ =") else None
    if sent.patient_id.strip():
        if identifier_agrees(patient, sent.patient_id, sent.issuer):
            return Agreement.DIFFERS if named is False and born is False else Agreement.AGREES
        if belongs_to_another(patient, sent.patient_id, sent.issuer):
            return Agreement.DIFFERS
    if named and born:
        return Agreement.AGREES
    if named is None and born is None and not sent.patient_id.strip():
        return Agreement.UNKNOWN
    return Agreement.DIFFERS


def differences(patient: Patient, sent: Sent) -> list[str]:
    """Which of identifier, name, birth_date, sex do not agree."""
    found = []
    if not identifier_agrees(patient, sent.patient_id, sent.issuer):
        found.append("identifier")
    if not names_agree(patient, sent.name):
        found.append("name")
    if birth_dates_agree(patient, sent.birth_date) is not True:
        found.append("birth_date")
    if sent.sex and patient.sex != "U" and sent.sex != patient.sex:
        found.append("sex")
    return found


def same_patient(procedures: Iterable[RequestedProcedure]) -> bool:
    return len({row.order.patient_id for row in procedures}) <= 1
