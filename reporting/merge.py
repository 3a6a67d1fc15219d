"""What stands in ready text until somebody writes: merge fields, blanks, pick lists.

``{{patient.age}}``        a merge field of the closed list below, filled when the text goes into a report
``[size in mm]``           a blank; ``[1:size]`` a numbered one, which the Tab key visits before those without a number
``[[normal|enlarged]]``    a pick list

Nothing here is code: a field that is not on the list is refused when the text is kept. A field of which nothing is
known becomes a blank of its name, so that no report is signed over it. ``{indication}`` with single braces is how older
texts name ``{{order.indication}}`` and its like.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ris.core import text

FIELD = re.compile(r"\{\{\s*([\w.]+)\s*\}\}|\{(\w+)\}")

#: The closed list, with what each is
MERGE_FIELDS: dict[str, Any] = {
    "patient.name": gettext_lazy("Name of the patient"),
    "patient.age": gettext_lazy("Age on the day of the exam"),
    "patient.sex": gettext_lazy("Sex"),
    "patient.birth_date": gettext_lazy("Birth date"),
    "patient.identifier": gettext_lazy("Number of the patient"),
    "order.indication": gettext_lazy("Clinical question"),
    "order.information": gettext_lazy("Clinical information"),
    "order.requester": gettext_lazy("Who asked"),
    "order.location": gettext_lazy("Ward or clinic"),
    "exam": gettext_lazy("Exams, with their side"),
    "exam.date": gettext_lazy("Day of the exam"),
    "exam.side": gettext_lazy("Side"),
    "exam.accession_number": gettext_lazy("Accession number"),
    "exam.protocol": gettext_lazy("Protocol"),
    "contrast": gettext_lazy("“ with …”, or nothing without contrast"),
    "contrast.agent": gettext_lazy("Contrast agent and amount"),
    "comparison": gettext_lazy("Earlier exams in a sentence"),
    "comparison.exam": gettext_lazy("The newest earlier exam"),
    "comparison.date": gettext_lazy("Its day"),
    "site": gettext_lazy("Site"),
    "today": gettext_lazy("Today"),
}
#: Names with single braces, as texts made before the list have them
OLDER = {
    "indication": "order.indication",
    "exam": "exam",
    "contrast": "contrast",
    "comparison": "comparison",
    "sex": "patient.sex",
    "age": "patient.age",
}
#: These are complete without a value
MAY_BE_EMPTY = frozenset({"contrast", "order.indication", "order.information", "exam.side"})


def unknown_fields(words: str) -> list[str]:
    """Names in double braces that are not on the list."""
    return sorted({found[1] for found in FIELD.finditer(words) if found[1] and found[1] not in MERGE_FIELDS})


def filled(words: str, values: Mapping[str, str]) -> str:
    def put(found: re.Match[str]) -> str:
        name = found[1] or OLDER.get(found[2], "")
        if name not in MERGE_FIELDS:
            return found[0]
        value = values.get(name, "")
        return value if value or name in MAY_BE_EMPTY else f"[{MERGE_FIELDS[name]}]"

    return FIELD.sub(put, words)


def merge_values(procedures: Sequence[Any], priors: Sequence[Any]) -> dict[str, str]:
    """What the fields of a report over these exams become, in the language that is active."""
    first, order = procedures[0], procedures[0].order
    patient, moment = order.patient, first.performed_at or first.started_at
    said = ", ".join(f"{row.description_with_side} {text.day(row.performed_at or row.started_at)}" for row in priors)
    prior = priors[0] if priors else None
    identifier = patient.primary_identifier
    return {
        "patient.name": patient.display_name,
        "patient.age": text.age(patient.birth_date, timezone.localtime(moment).date() if moment else None),
        "patient.sex": text.sex(patient.sex),
        "patient.birth_date": text.day(patient.birth_date) if patient.birth_date else "",
        "patient.identifier": identifier.value if identifier else "",
        "order.indication": "\n".join(dict.fromkeys(p.order.indication for p in procedures if p.order.indication)),
        "order.information": order.clinical_information,
        "order.requester": order.requester.display_name if order.requester else "",
        "order.location": order.location,
        "exam": "; ".join(procedure.description_with_side for procedure in procedures),
        "exam.date": text.day(moment) if moment else "",
        "exam.side": first.get_laterality_display() if first.laterality else "",
        "exam.accession_number": first.accession_number,
        "exam.protocol": first.protocol,
        "contrast": _(" with %(contrast)s") % {"contrast": first.contrast} if first.contrast else "",
        "contrast.agent": first.contrast,
        "comparison": said + "." if said else _("None."),
        "comparison.exam": prior.description_with_side if prior else "",
        "comparison.date": text.day(prior.performed_at or prior.started_at) if prior else "",
        "site": order.site.name if order.site else "",
        "today": text.day(timezone.localdate()),
    }
