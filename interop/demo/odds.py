"""What never goes by the plan: images that no order names, and pictures that somebody took out of use."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone
from pydicom import Dataset

from interop.demo import clock, pictures
from interop.dicom.emulated_images import image
from ris.accounts.models import User
from ris.core.actor import Actor
from ris.core.ids import new_uid
from worklist.models import ImagingInstance, ImagingStudy
from worklist.services import reject_images

STATION = "DX1"


def seed_odds(people: dict[str, User]) -> None:
    _store_walk_in()
    _reject_a_picture(Actor("web", user=people["technologist"]))


def _store_walk_in() -> None:
    """Typed in at the console at night: waits on the exceptions page for an order."""
    item = Dataset()
    item.PatientName, item.PatientID, item.PatientBirthDate, item.PatientSex = "Mutua^Daniel", "", "19960817", "M"
    item.StudyInstanceUID, item.AccessionNumber = new_uid(), ""
    at = timezone.localtime() - timedelta(hours=6)
    made = image(item, modality="DX", station=STATION, started_at=at, number=0, count=1, size=384)
    made.SeriesInstanceUID = new_uid()
    with clock.at(at):
        pictures.store(made, STATION)


def _reject_a_picture(technologist: Actor) -> None:
    """The last picture of the latest ultrasound study, or of another with enough of them."""
    studies = ImagingStudy.objects.filter(procedures__isnull=False, instance_count__gte=4)
    study = studies.filter(modalities="US").order_by("-pk").first() or studies.order_by("-pk").first()
    if study is not None:
        shown = ImagingInstance.objects.visible().filter(series__study=study, rows__isnull=False)
        uid = shown.order_by("-number").values_list("sop_instance_uid", flat=True).first()
        if uid is not None:
            reject_images(study, instances=[uid], code="113001", reason="Patient moved", actor=technologist)
