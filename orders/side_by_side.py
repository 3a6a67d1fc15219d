"""Two records side by side, before somebody decides that they are one person."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _

from orders.models import Order, Patient, RequestedProcedure, Visit
from ris.core.text import day, masked

NOTHING = "–"


@dataclass(frozen=True)
class Compared:
    label: str
    left: str
    right: str
    #: whether it says who somebody is; else it is what would move
    is_identity: bool = True

    @property
    def is_same(self) -> bool:
        return self.left == self.right

    @property
    def is_empty(self) -> bool:
        return self.left == self.right == NOTHING

    @property
    def is_one_sided(self) -> bool:
        return NOTHING in (self.left, self.right)


def compare(left: Patient, right: Patient) -> list[Compared]:
    """Who they are, then what each has."""
    who = [
        Compared(label, mine or NOTHING, theirs or NOTHING)
        for (label, mine), (__, theirs) in zip(_identity(left), _identity(right), strict=True)
    ]
    has = [
        Compared(label, str(mine), str(theirs), is_identity=False)
        for (label, mine), (__, theirs) in zip(_belongings(left), _belongings(right), strict=True)
    ]
    return [*who, *has]


def _identity(patient: Patient) -> list[tuple[str, str]]:
    born = day(patient.birth_date) if patient.birth_date else ""
    if patient.birth_date_is_estimated and born:
        born = f"{_('about')} {born}"
    numbers = [f"{row.value} ({row.issuer})" for row in patient.identifiers.all() if row.use != "old"]
    return [
        (_("Name"), " ".join(part for part in (patient.prefix, patient.display_name, patient.suffix) if part)),
        (_("Other spellings"), " · ".join(part for part in (patient.ideographic_name, patient.phonetic_name) if part)),
        (_("Born"), born),
        (_("Sex"), patient.get_sex_display()),
        (_("Numbers"), ", ".join(numbers)),
        (_("Phone"), masked(patient.phone)),
        (_("Address"), " ".join(patient.address.split())),
        (_("Next of kin"), patient.next_of_kin),
        (_("Alerts"), "; ".join(row.text for row in patient.alert_rows.all() if row.is_active)),
    ]


def _belongings(patient: Patient) -> list[tuple[str, int]]:
    return [
        (_("Orders"), Order.objects.filter(patient=patient).count()),
        (_("Exams"), RequestedProcedure.objects.filter(order__patient=patient).count()),
        (_("Documents"), patient.documents.count()),
        (_("Visits"), Visit.objects.filter(patient=patient).count()),
    ]
