"""Who we speak DICOM with, and what was spoken."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from ris.core.lifecycle import Recorded
from worklist.models.rooms import ae_title_validator


class DicomPeer(Recorded):
    """An AE title that may call us or be called, and what it may do. ``*`` and ``?`` in the title are wildcards."""

    ae_title = models.CharField(_("AE title"), max_length=16, unique=True, validators=[ae_title_validator])
    description = models.CharField(_("description"), max_length=100, blank=True)
    allowed_addresses = ArrayField(
        models.CharField(max_length=64), default=list, blank=True, verbose_name=_("calls from (addresses or networks)")
    )
    host = models.CharField(_("host we call it at"), max_length=255, blank=True)
    port = models.PositiveIntegerField(_("port"), null=True, blank=True)
    may_echo = models.BooleanField(_("may verify"), default=True)
    may_query_worklist = models.BooleanField(_("may query the worklist"), default=False)
    may_send_mpps = models.BooleanField(_("may send MPPS"), default=False)
    may_store = models.BooleanField(_("may store"), default=False)
    may_commit = models.BooleanField(_("may ask for storage commitment"), default=False)
    may_query = models.BooleanField(_("may query and retrieve"), default=False)
    sees_all_stations = models.BooleanField(_("sees the worklist of all stations"), default=True)
    max_results = models.PositiveIntegerField(_("most answers"), default=500)
    character_set = models.CharField(_("character set"), max_length=32, default="ISO_IR 192")
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("DICOM peer")
        ordering = ["ae_title"]
        constraints = [
            models.CheckConstraint(
                condition=Q(port__isnull=True) | Q(port__gte=1, port__lte=65535), name="peer_port_is_a_port"
            ),
        ]

    def __str__(self) -> str:
        return self.ae_title


class AssociationLog(models.Model):
    """One association: who called, what for, how it ended. No patient data."""

    calling_ae_title = models.CharField(max_length=16)
    called_ae_title = models.CharField(max_length=16)
    address = models.CharField(max_length=64)
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=32)
    counts = models.JSONField(default=dict, help_text="{service: number of requests}")
    refused = models.JSONField(default=dict, help_text="{status: number}")

    class Meta:
        verbose_name = _("association")
        ordering = ["-pk"]
        indexes = [models.Index(fields=["calling_ae_title", "-id"], name="association_peer")]

    def __str__(self) -> str:
        return f"{self.calling_ae_title} {self.started_at:%Y-%m-%d %H:%M:%S}"
