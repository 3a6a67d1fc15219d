"""HL7 destinations, and every message: stored before it is acknowledged, written before it is sent."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from ris.accounts.encryption import EncryptedTextField
from ris.core.lifecycle import PublicModel, Recorded


class FhirServer(Recorded):
    """A FHIR R4 server that signed reports are put on. Its messages wait in the queue under ``queue``."""

    base_url = models.URLField(_("base address"), max_length=300)
    token = EncryptedTextField(_("bearer token"), blank=True, default="")
    queue = models.OneToOneField("interop.Hl7Destination", on_delete=models.PROTECT, related_name="fhir_server")

    history = HistoricalRecords(excluded_fields=["token"])

    class Meta:
        verbose_name = _("FHIR server")
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.queue.name


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
