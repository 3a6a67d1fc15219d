"""Who we speak with, and every message. Stored before it is acknowledged, written before it is sent."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from ris.core.lifecycle import PublicModel, Recorded
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


class Hl7Destination(Recorded):
    """Where HL7 v2 messages go over MLLP."""

    name = models.SlugField(_("name"), max_length=64, unique=True)
    host = models.CharField(_("host"), max_length=255)
    port = models.PositiveIntegerField(_("port"))
    uses_tls = models.BooleanField(_("TLS"), default=False)
    messages = ArrayField(models.CharField(max_length=16), default=list, verbose_name=_("messages"))
    receiving_application = models.CharField(_("receiving application (MSH-5)"), max_length=64, blank=True)
    receiving_facility = models.CharField(_("receiving facility (MSH-6)"), max_length=64, blank=True)
    hl7_version = models.CharField(_("HL7 version"), max_length=8, default="2.5.1")
    character_set = models.CharField(_("character set (MSH-18)"), max_length=20, default="UNICODE UTF-8")
    includes_pdf = models.BooleanField(_("with the PDF"), default=False)
    ack_timeout_seconds = models.PositiveSmallIntegerField(_("waits for the answer (seconds)"), default=20)
    is_paused = models.BooleanField(_("paused"), default=False)
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("HL7 destination")
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(port__gte=1, port__lte=65535), name="destination_port_is_a_port"),
        ]

    def __str__(self) -> str:
        return self.name


class MessageStatus(models.TextChoices):
    RECEIVED = "received", _("Received")
    PROCESSED = "processed", _("Processed")
    REJECTED = "rejected", _("Rejected")
    UNMAPPED = "unmapped", _("Waits for a code")


class InboundMessage(PublicModel):
    """A message as it came, byte for byte, and what became of it."""

    protocol = models.CharField(max_length=8, default="hl7")
    sending_application = models.CharField(max_length=180, blank=True)
    sending_facility = models.CharField(max_length=180, blank=True)
    control_id = models.CharField(max_length=199, blank=True)
    message_type = models.CharField(max_length=20, blank=True)
    raw = models.BinaryField()
    encoding = models.CharField(max_length=20, default="utf-8")
    address = models.CharField(max_length=64, blank=True)
    received_at = models.DateTimeField(default=timezone.now)
    status = models.CharField(max_length=10, choices=MessageStatus.choices, default=MessageStatus.RECEIVED)
    processed_at = models.DateTimeField(null=True, blank=True)
    acknowledgement = models.BinaryField(null=True)
    acknowledgement_code = models.CharField(max_length=2, blank=True)
    error = models.CharField(max_length=500, blank=True)
    patient = models.UUIDField(null=True, blank=True)
    accession_number = models.CharField(max_length=16, blank=True)

    class Meta:
        verbose_name = _("inbound message")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["sending_application", "sending_facility", "control_id"],
                condition=~Q(control_id=""),
                name="inbound_control_id_once",
            ),
        ]
        indexes = [models.Index(fields=["status", "-id"], name="inbound_status")]

    def __str__(self) -> str:
        return f"{self.message_type} {self.control_id}"

    @property
    def audit_patient(self):
        return self.patient


class OutboundStatus(models.TextChoices):
    PENDING = "pending", _("Waiting")
    ACKNOWLEDGED = "acknowledged", _("Acknowledged")
    PARKED = "parked", _("Parked")
    CANCELLED = "cancelled", _("Cancelled")


class OutboundMessage(PublicModel):
    """A message to be sent: in order per destination and patient, same control id on every try."""

    protocol = models.CharField(max_length=8, default="hl7")
    destination = models.ForeignKey(Hl7Destination, on_delete=models.PROTECT, related_name="outbound_messages")
    message_type = models.CharField(max_length=20)
    control_id = models.CharField(max_length=20, unique=True)
    body = models.BinaryField()
    ordering_key = models.CharField(max_length=64)
    patient = models.UUIDField(null=True, blank=True)
    accession_number = models.CharField(max_length=16, blank=True)
    subject = models.CharField(max_length=64, blank=True, help_text=_("UUID of what it carries."))
    dedupe_key = models.CharField(max_length=150, unique=True)
    status = models.CharField(max_length=14, choices=OutboundStatus.choices, default=OutboundStatus.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    claimed_until = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledgement = models.BinaryField(null=True)
    last_error = models.CharField(max_length=500, blank=True)

    class Meta:
        verbose_name = _("outbound message")
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=Q(status="pending"), name="outbound_due"),
            models.Index(
                fields=["destination", "ordering_key", "id"], condition=Q(status="pending"), name="outbound_order"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.message_type} {self.control_id} to {self.destination_id}"

    @property
    def audit_patient(self):
        return self.patient
