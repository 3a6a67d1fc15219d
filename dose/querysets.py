from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Q

from dose.bands import ADULT, ADULT_FROM, BANDS, WEIGHT_BANDS
from orders.models import RequestedProcedure
from ris.core.actor import Actor


class DoseReportQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """Unlinked reports are for those who link them."""
        condition = Q(procedure__in=RequestedProcedure.objects.visible_to(actor).values("pk"))
        if actor.may("dose.manage_dose"):
            condition |= Q(procedure__isnull=True)
        return self.filter(condition)

    def counted(self) -> Self:
        """Without those that a better source has replaced."""
        return self.filter(replaced_by__isnull=True)


def of_band(code: str) -> Q:
    """Which dose reports are of patients of the band. Whose age is unknown counts as adult; a child's weight band asks
    for both. Of a name that is no band here: nobody."""
    band = BANDS.get(code)
    if band is None:
        return Q(pk__in=[])
    if code == ADULT:
        return Q(patient_age_years__isnull=True) | Q(patient_age_years__gte=ADULT_FROM)
    if band in WEIGHT_BANDS:
        weight = Q(patient_weight_kg__gte=band.start, patient_weight_kg__lt=band.below)
        return weight & Q(patient_age_years__lt=ADULT_FROM)
    return Q(patient_age_years__gte=band.start, patient_age_years__lt=band.below)
