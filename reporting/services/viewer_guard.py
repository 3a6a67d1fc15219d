"""Whether what a person's viewer shows is of the patient whose report is signed."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from orders.models import Patient, RequestedProcedure
from reporting.models import ViewerContext
from reporting.services.priors import same_person
from ris.core.actor import Actor
from worklist.models import ImagingStudy

#: A viewer that has told nothing for so long is taken for closed.
VIEWER_IDLE = timedelta(minutes=15)


def viewer_study_of(actor: Actor) -> str:
    """The study that this person's viewer last told, unless that is long ago."""
    fresh = ViewerContext.objects.filter(user=actor.user, told_at__gt=timezone.now() - VIEWER_IDLE)
    return fresh.values_list("study_instance_uid", flat=True).first() or ""


def is_of_other_patient(study_instance_uid: str, patient: Patient) -> bool:
    """Not a study of this person; one that is known to be nobody's counts as another's."""
    exams = RequestedProcedure.objects.filter(order__patient__in=same_person(patient))
    own = exams.filter(study_instance_uid=study_instance_uid).exists()
    return not (
        own or ImagingStudy.objects.filter(study_instance_uid=study_instance_uid, procedures__in=exams).exists()
    )
