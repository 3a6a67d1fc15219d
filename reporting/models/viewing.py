"""Viewers outside this house that a facility links to: OHIF, Weasis and others, by an address with placeholders."""

from __future__ import annotations

import re

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from reporting.querysets import ViewerLaunchQuerySet
from ris.core.lifecycle import PublicModel, Recorded
from worklist.models import ImagingStudy

PLACEHOLDERS = ("study_uid", "accession", "token")
SCHEMES = ("https://", "http://", "weasis://")
_BRACED = re.compile(r"{([^{}]*)}")


def check_template(value: str) -> None:
    """Raises ValidationError for a scheme that no viewer has, and for placeholders that are never filled."""
    if not value.startswith(SCHEMES):
        raise ValidationError(_("It begins with https://, http:// or weasis://."), code="scheme")
    named = set(_BRACED.findall(value))
    unknown = sorted(named - set(PLACEHOLDERS))
    if unknown:
        raise ValidationError(
            _("%(name)s is no placeholder; there are {study_uid}, {accession} and {token}."),
            code="placeholder",
            params={"name": "{" + unknown[0] + "}"},
        )
    if not named & {"study_uid", "accession"}:
        raise ValidationError(_("It names no study: write {study_uid} or {accession} into it."), code="no_study")
    if re.search(r"[\s\x00-\x1f\x7f]", value):
        raise ValidationError(_("It holds a blank; write %20."), code="blank")


class ViewerLaunch(PublicModel):
    """A launch of a study in a viewer outside this house. What it opens ends with its time, or when it is revoked."""

    viewer = models.ForeignKey("ExternalViewer", on_delete=models.PROTECT, related_name="launches", null=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="viewer_launches", verbose_name=_("person")
    )
    study = models.ForeignKey(ImagingStudy, on_delete=models.PROTECT, related_name="+", verbose_name=_("study"))
    launched_at = models.DateTimeField(_("launched at"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("ends at"))
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True, editable=False)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+", editable=False
    )

    history = HistoricalRecords()
    objects = ViewerLaunchQuerySet.as_manager()

    class Meta:
        verbose_name = _("viewer launch")
        verbose_name_plural = _("viewer launches")
        ordering = ["-pk"]
        indexes = [models.Index(fields=["user", "expires_at"], name="viewer_launch_live")]

    def __str__(self) -> str:
        return f"{self.user_id} {self.launched_at:%Y-%m-%d %H:%M}"

    @property
    def audit_patient(self):
        procedure = self.study.procedures.order_by("pk").first()
        return procedure.audit_patient if procedure is not None else None


class ExternalViewer(Recorded):
    """One link beside our own viewer. Its launch is signed, for one study and one person, and ends after minutes."""

    name = models.CharField(_("name"), max_length=40, unique=True)
    url_template = models.CharField(
        _("address"),
        max_length=1000,
        validators=[check_template],
        help_text=_("With {study_uid}, {accession} and {token}; each is escaped as it is put in."),
    )
    minutes = models.PositiveSmallIntegerField(
        _("a launch lasts (minutes)"), default=15, validators=[MinValueValidator(1), MaxValueValidator(120)]
    )
    position = models.PositiveSmallIntegerField(_("position"), default=0)
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("viewer link")
        verbose_name_plural = _("viewer links")
        ordering = ["position", "pk"]

    def __str__(self) -> str:
        return self.name
