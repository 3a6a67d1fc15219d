"""What can be ordered: codes, durations, rules and preparation texts. Which room can do it is worklist's."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from ris.core.lifecycle import PublicModel, Recorded


class Modality(models.TextChoices):
    """DICOM (0008,0060) as ordered"""

    CT = "CT", _("CT")
    MR = "MR", _("MR")
    DX = "DX", _("X-ray")
    CR = "CR", _("X-ray (CR)")
    US = "US", _("Ultrasound")
    MG = "MG", _("Mammography")
    RF = "RF", _("Fluoroscopy")
    XA = "XA", _("Angiography")
    NM = "NM", _("Nuclear medicine")
    PT = "PT", _("PET")
    BMD = "BMD", _("Bone density")
    PX = "PX", _("Panoramic dental")
    IO = "IO", _("Intra-oral dental")
    OT = "OT", _("Other")


class Laterality(models.TextChoices):
    """DICOM (0020,0060) and its unpaired case"""

    NONE = "", _("Not paired")
    LEFT = "L", _("Left")
    RIGHT = "R", _("Right")
    BOTH = "B", _("Both sides")


class CatalogueProcedure(Recorded):
    code = models.CharField(_("code"), max_length=16, unique=True)
    name = models.CharField(_("name"), max_length=64, help_text=_("DICOM LO: at most 64 characters."))
    name_sw = models.CharField(_("name in Swahili"), max_length=64, blank=True)
    modality = models.CharField(_("modality"), max_length=4, choices=Modality.choices)
    body_region = models.CharField(_("body region"), max_length=40, blank=True)
    has_laterality = models.BooleanField(_("needs a side"), default=False)
    uses_contrast = models.BooleanField(_("with contrast"), default=False)
    duration_minutes = models.PositiveSmallIntegerField(_("duration (minutes)"), default=20)
    default_protocol = models.TextField(_("default protocol"), blank=True)
    needs_vetting = models.BooleanField(_("is vetted first"), default=False)
    needs_protocol = models.BooleanField(_("a radiologist protocols it"), default=False)
    needs_completion_before_reading = models.BooleanField(
        _("the technologist completes it before it is read"), default=False
    )
    needs_consent = models.BooleanField(_("written consent is needed"), default=False)
    rvu = models.DecimalField(_("weight"), max_digits=6, decimal_places=2, default=1)
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("catalogue procedure")
        ordering = ["modality", "name"]
        constraints = [
            models.CheckConstraint(condition=Q(duration_minutes__gt=0), name="catalogue_duration_is_positive"),
        ]

    def __str__(self) -> str:
        return self.name


class ProcedureCode(PublicModel):
    """The same procedure in another coding scheme: LOINC (LN), RadLex Playbook (RADLEX), CPT (C4), SNOMED CT (SCT), a
    sender's own.
    """

    procedure = models.ForeignKey(CatalogueProcedure, on_delete=models.CASCADE, related_name="codes")
    scheme = models.CharField(_("coding scheme"), max_length=16)
    value = models.CharField(_("code"), max_length=16)
    meaning = models.CharField(_("meaning"), max_length=64, blank=True)

    class Meta:
        verbose_name = _("code")
        constraints = [models.UniqueConstraint(fields=["scheme", "value"], name="procedure_code_once_per_scheme")]

    def __str__(self) -> str:
        return f"{self.value} ({self.scheme})"


class Preparation(PublicModel):
    """What the patient does before the exam, in one language."""

    procedure = models.ForeignKey(CatalogueProcedure, on_delete=models.CASCADE, related_name="preparations")
    language = models.CharField(_("language"), max_length=8)
    text = models.TextField(_("text"))

    class Meta:
        verbose_name = _("preparation")
        constraints = [models.UniqueConstraint(fields=["procedure", "language"], name="one_preparation_per_language")]

    def __str__(self) -> str:
        return f"{self.procedure} ({self.language})"
