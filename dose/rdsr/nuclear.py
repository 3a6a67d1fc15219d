"""Radiopharmaceuticals (TID 10021 to 10024): one event per administration."""

from __future__ import annotations

import re

from dose import units
from dose.rdsr import codes
from dose.rdsr.content import Content, measure
from dose.rdsr.parsed import DoseEvent, ParsedDose

MOST_ORGANS = 60
IS_PET = re.compile(r"\bPET\b|positron", re.I)


def read_administrations(root: Content, parsed: ParsedDose) -> None:
    for content in root.walk(without={codes.ADMINISTRATION}):
        concept = content.concept
        if concept == codes.ADMINISTRATION:
            event = _administration(content, parsed)
            event.position = len(parsed.events) + 1
            parsed.events.append(event)
            parsed.add("administered_activity", event.activity)
        elif concept in codes.ASSOCIATED_PROCEDURE:
            parsed.procedure_name = content.words
        elif concept == "29463-7":
            parsed.patient_weight_kg = parsed.patient_weight_kg or measure(content, units.MASS, parsed)
        elif concept == "8302-2":
            height = measure(content, units.LENGTH, parsed)
            parsed.patient_height_m = parsed.patient_height_m or (height / 1000 if height else None)
        elif concept == "121033" and parsed.patient_age_years is None:
            parsed.patient_age_years = measure(content, units.YEARS, parsed)
        elif concept == "121032" and not parsed.patient_sex:
            parsed.patient_sex = content.code[0] if content.code[0] in ("M", "F", "O") else ""
    if not parsed.events:
        parsed.warn("The report holds no administration.")


def is_pet(parsed: ParsedDose) -> bool:
    return bool(IS_PET.search(parsed.procedure_name))


def _administration(container: Content, parsed: ParsedDose) -> DoseEvent:
    event = DoseEvent(event_type="Administration")
    for content in container.walk(without={codes.ORGAN_DOSE_INFORMATION}):
        concept = content.concept
        if concept == codes.ADMINISTRATION_UID:
            event.uid = event.uid or content.words[:64]
        elif concept in codes.AGENT or (concept == "113500" and content.value_type == "CODE"):
            event.protocol = event.protocol or content.words[:128]
        elif concept in codes.RADIONUCLIDE:
            event.radionuclide = content.words[:64]
        elif concept in codes.HALF_LIFE:
            event.half_life = measure(content, units.SECONDS, parsed)
        elif concept == codes.ADMINISTRATION_STARTED:
            event.started_at = content.time
        elif concept == codes.ADMINISTRATION_STOPPED and content.time is not None:
            event.more["stopped_at"] = [content.time.isoformat(), ""]
        elif concept == codes.ACTIVITY:
            event.activity = measure(content, units.ACTIVITY, parsed)
        elif concept == codes.EFFECTIVE_DOSE:
            value = measure(content, units.EFFECTIVE, parsed)
            if value is not None:
                event.more.setdefault("effective_dose", [value, "Sv"])
                parsed.add("effective_dose", value)
        elif concept == codes.ORGAN_DOSE_INFORMATION:
            _organ(event, content, parsed)
        else:
            _more(event, content, parsed)
    return event


def _more(event: DoseEvent, content: Content, parsed: ParsedDose) -> None:
    concept = content.concept
    if concept in codes.ADMINISTRATION_MORE:
        name, quantity = codes.ADMINISTRATION_MORE[concept]
        value = measure(content, quantity, parsed)
        if value is not None:
            event.more.setdefault(name, [value, quantity.unit])
    elif concept in codes.ROUTE and content.words:
        event.more.setdefault("route", [content.words[:64], ""])
    elif concept in codes.SITE and content.words:
        event.more.setdefault("site", [content.words[:64], ""])
    elif concept in codes.LATERALITY:
        event.laterality = event.laterality or content.words[:32]
    elif concept in codes.ADMINISTRATION_WORDS and content.words:
        event.more.setdefault(codes.ADMINISTRATION_WORDS[concept], [content.words[:128], ""])


def _organ(event: DoseEvent, container: Content, parsed: ParsedDose) -> None:
    organ, side = "", ""
    for content in container.walk():
        if content.concept in codes.SITE:
            organ = content.words[:64]
        elif content.concept in codes.LATERALITY:
            side = content.words[:32]
        elif content.concept == codes.ORGAN_DOSE:
            value = measure(content, units.DOSE, parsed)
            organs = event.more.setdefault("organ_doses", [])
            if value is not None and len(organs) < MOST_ORGANS:
                organs.append({"organ": organ, "side": side, "dose_gy": value})
