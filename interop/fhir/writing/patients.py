"""Patient: registered and corrected. Identifiers are added, never taken away; a known one makes a create a conflict."""

from __future__ import annotations

from typing import Any

from interop.fhir.server.call import Call, Resource
from interop.fhir.server.params import issuer_of
from interop.fhir.writing.conditional import Made, Writer
from interop.fhir.writing.reading import V2_0203, Problems, code_of, day, first, has_type, line, text
from orders import permissions as perms
from orders import services as orders
from orders.models import IdentifierType, IdentifierUse, Patient, Sex

NAME = "Patient"
SEXES = {"male": Sex.MALE, "female": Sex.FEMALE, "other": Sex.OTHER, "unknown": Sex.UNKNOWN}
USES = {"official": IdentifierUse.USUAL, **{use.value: use for use in IdentifierUse}}
REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"
GROUPS = {"IDE": "ideographic_name", "SYL": "phonetic_name"}


def create(call: Call, resource: Resource) -> Made:
    fields, identifiers = read(resource)
    is_deceased = fields.pop("is_deceased")
    row = orders.register_patient(**fields, identifiers=identifiers, actor=call.actor)
    if is_deceased:
        row = orders.update_patient(row, is_deceased=True, actor=call.actor)
    return Made(row)


def change(call: Call, row: Patient, resource: Resource) -> Patient:
    """What the resource does not say is emptied, but for identifiers and for names that it cannot say."""
    fields, identifiers = read(resource)
    return orders.update_patient(row, **fields, identifiers=identifiers, actor=call.actor)


def read(resource: Resource) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """The fields of a patient, and the identifiers. Raises Refused (422)."""
    problems = Problems(NAME)
    names = [name for name in resource.get("name", []) if not _group(name)]
    name = next((row for row in names if row.get("use") == "official"), None) or first(names)
    given = [line(part) for part in name.get("given", [])]
    family = line(name.get("family") or ("" if given else name.get("text")))
    if not family:
        problems.add("name", "A family name is needed.", "required")
    if resource.get("active") is False:
        problems.add("active", "A record is closed by a merge, not by this.", "business-rule")
    born, is_estimated = _born(resource, problems)
    fields: dict[str, Any] = {
        "family_name": family,
        "given_name": given[0] if given else "",
        "middle_name": " ".join(given[1:]),
        "prefix": line(" ".join(name.get("prefix", []))),
        "suffix": line(" ".join(name.get("suffix", []))),
        "sex": SEXES.get(resource.get("gender", "unknown"), Sex.UNKNOWN),
        "birth_date": born,
        "birth_date_is_estimated": is_estimated,
        "phone": _telecom(resource, "phone", "sms"),
        "email": _telecom(resource, "email"),
        "address": _address(resource),
        "language": _language(resource),
        "next_of_kin": _next_of_kin(resource),
        "is_deceased": bool(resource.get("deceasedBoolean")) or bool(resource.get("deceasedDateTime")),
    }
    for row in resource.get("name", []):
        if _group(row):
            fields[_group(row)] = "^".join(filter(None, (row.get("family"), *row.get("given", []))))
    identifiers = _identifiers(resource, problems)
    problems.raise_if_any()
    return fields, identifiers


def _group(name: Resource) -> str:
    """Which of our component groups a name in another script is, by HL7's extension."""
    codes = [row.get("valueCode") for row in name.get("extension", []) if row.get("url") == REPRESENTATION]
    return GROUPS.get(str(codes[0]), "") if codes else ""


def _born(resource: Resource, problems: Problems) -> tuple[Any, bool]:
    """A year or a month alone is an estimate, written down as its first day."""
    told = str(resource.get("birthDate") or "")
    if not told:
        return None, False
    born = day((told + "-01-01")[:10] if len(told) == 4 else (told + "-01")[:10])
    if born is None:
        problems.add("birthDate", "There is no such day.")
    flags = {tag.get("code") for tag in resource.get("meta", {}).get("tag", []) if isinstance(tag, dict)}
    return born, len(told) < 10 or "birth-date-estimated" in flags


def _telecom(resource: Resource, *systems: str) -> str:
    rows = [row for row in resource.get("telecom", []) if row.get("system") in systems and row.get("use") != "old"]
    rows.sort(key=lambda row: row.get("rank", 99))
    return line(rows[0].get("value")) if rows else ""


def _address(resource: Resource) -> str:
    rows = [row for row in resource.get("address", []) if row.get("use") != "old"]
    found = first(rows)
    parts = [*found.get("line", [])]
    if not parts and found.get("text"):
        parts = [found["text"]]
    place = " ".join(filter(None, (found.get("postalCode"), found.get("city"))))
    parts += [part for part in (place, found.get("district"), found.get("state"), found.get("country")) if part]
    return "\n".join(text(part, 200) for part in dict.fromkeys(parts))


def _language(resource: Resource) -> str:
    rows = resource.get("communication", [])
    row = next((one for one in rows if one.get("preferred")), None) or first(rows)
    return line(first(row.get("language", {}).get("coding")).get("code"), 8) if row else ""


def _next_of_kin(resource: Resource) -> str:
    contact = first(resource.get("contact"))
    name = contact.get("name", {})
    said = name.get("text") or " ".join(filter(None, (*name.get("given", []), name.get("family"))))
    phone = first(contact.get("telecom")).get("value")
    return line(", ".join(filter(None, (said, phone))), 200)


def _identifiers(resource: Resource, problems: Problems) -> list[dict[str, str]]:
    found = []
    for number, row in enumerate(resource.get("identifier", [])):
        where = f"identifier[{number}]"
        if not row.get("value"):
            problems.add(f"{where}.value", "An identifier has a value.", "required")
        if not row.get("system"):
            problems.add(f"{where}.system", "An identifier says by its system who gave it out.", "required")
        kind = code_of(row.get("type"), V2_0203) or IdentifierType.EXTERNAL
        if kind not in IdentifierType.values:
            words = f"The type is one of {', '.join(IdentifierType.values)} of v2-0203."
            problems.add(f"{where}.type", words, "code-invalid")
        found.append(
            {
                "value": line(row.get("value")),
                "issuer": line(issuer_of(str(row.get("system", "")))),
                "type": kind,
                "use": USES.get(row.get("use", ""), IdentifierUse.USUAL if has_type(row, "MR") else "secondary"),
            }
        )
    return found


WRITER = Writer(NAME, create, change, rights={"create": perms.REGISTER_PATIENT, "update": perms.UPDATE_PATIENT})
