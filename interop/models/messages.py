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
    """A FHIR server that reports, studies and orders are put on. Its messages wait in the queue under ``queue``, whose
    ``messages`` are the types it is sent. It knows us by a bearer token, or by the client credentials of OAuth.
    """

    base_url = models.URLField(_("base address"), max_length=300)
    release = models.CharField(_("release"), max_length=2, choices=[("r4", _("R4")), ("r5", _("R5"))], default="r4")
    token = EncryptedTextField(_("bearer token"), blank=True, default="")
    token_url = models.URLField(_("address of tokens (OAuth)"), max_length=300, blank=True, default="")
    client_id = models.CharField(_("client id"), max_length=255, blank=True, default="")
    client_secret = EncryptedTextField(_("client secret"), blank=True, default="")
    scope = models.CharField(_("scope"), max_length=500, blank=True, default="")
    queue = models.OneToOneField("interop.Hl7Destination", on_delete=models.PROTECT, related_name="fhir_server")

    history = HistoricalRecords(excluded_fields=["token", "client_secret"])

    class Meta:
        verbose_name = _("FHIR server")
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.queue.name


class AcknowledgementMode(models.TextChoices):
    """MSH-15 and MSH-16 (HL7 table 0155)."""

    ORIGINAL = "original", _("One answer (original mode)")
    COMMIT = "commit", _("Receipt only (enhanced mode)")
    BOTH = "both", _("Receipt, then the application's answer (enhanced mode)")


class TestMessage(models.TextChoices):
    """What the test of a destination says; neither changes anything at the receiver."""

    NOTHING = "", _("Nothing: only the connection is tried")
    CLOCK = "NMD^N02", _("NMD^N02: what time it is here")
    QUERY = "QRY^A19", _("QRY^A19: asks for a patient that does not exist")


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
    acknowledgement_mode = models.CharField(
        _("asks for"), max_length=8, choices=AcknowledgementMode.choices, default=AcknowledgementMode.ORIGINAL
    )
    keeps_connection = models.BooleanField(_("keeps the connection open"), default=True)
    one_message_per_exam = models.BooleanField(
        _("one message per exam"),
        default=False,
        help_text=_("A report of several exams goes out as several ORU with one OBR each."),
    )
    field_map = models.JSONField(
        _("field map"),
        default=list,
        blank=True,
        help_text=_(
            'For example [{"field": "PID-3.4", "from": "KLM", "to": "KILIMA"}, {"field": "PID-13", "drop": true}].'
        ),
    )
    filters = models.JSONField(
        _("only for"),
        default=dict,
        blank=True,
        help_text=_('For example {"modality": ["CT", "MR"], "patient_class": ["I"]}. Empty: everything.'),
    )
    order_states = models.JSONField(
        _("ORC-1 and ORC-5"),
        default=dict,
        blank=True,
        help_text=_('Where it differs from the table, for example {"performed": "XO^CM", "arrived": ""}.'),
    )
    holds_behind_parked = models.BooleanField(
        _("a parked message holds its patient's later ones"),
        default=False,
        help_text=_("Otherwise they go past it. Other patients' messages go on in either case."),
    )
    alert_after_minutes = models.PositiveSmallIntegerField(
        _("somebody is told after (minutes)"), default=15, help_text=_("When a message waits so long; 0: nobody.")
    )
    test_message = models.CharField(
        _("the test says"), max_length=8, choices=TestMessage.choices, blank=True, default=TestMessage.NOTHING
    )
    is_paused = models.BooleanField(_("paused"), default=False)
    paused_at = models.DateTimeField(_("paused at"), null=True, blank=True, editable=False)
    paused_by = models.CharField(_("paused by"), max_length=150, blank=True, default="", editable=False)
    paused_reason = models.CharField(_("why it is paused"), max_length=200, blank=True, default="", editable=False)
    rests_until = models.DateTimeField(
        _("rests until"), null=True, blank=True, editable=False, help_text=_("It could not be reached.")
    )
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords(excluded_fields=["rests_until"])

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
    batch = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="parts")

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


class OutboundOrigin(models.TextChoices):
    EVENT = "", _("By itself")
    COPY = "copy", _("Copy")
    REPLAY = "replay", _("Replayed")
    EDIT = "edit", _("Edited")


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
    answered_in_ms = models.PositiveIntegerField(null=True, blank=True)
    last_error = models.CharField(max_length=500, blank=True)
    origin = models.CharField(max_length=8, choices=OutboundOrigin.choices, blank=True, default=OutboundOrigin.EVENT)
    copy_of = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="copies")
    made_by = models.CharField(max_length=150, blank=True, default="")
    reason = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        verbose_name = _("outbound message")
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=Q(status="pending"), name="outbound_due"),
            models.Index(
                fields=["destination", "ordering_key", "id"], condition=Q(status="pending"), name="outbound_order"
            ),
            models.Index(
                fields=["destination", "ordering_key", "id"], condition=Q(status="parked"), name="outbound_parked"
            ),
            models.Index(fields=["destination", "status", "-id"], name="outbound_list"),
            models.Index(fields=["destination", "acknowledged_at"], name="outbound_delivered"),
            models.Index(fields=["patient", "-id"], name="outbound_patient"),
            models.Index(fields=["accession_number", "-id"], name="outbound_accession"),
            models.Index(fields=["subject", "-id"], name="outbound_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.message_type} {self.control_id} to {self.destination_id}"

    @property
    def audit_patient(self):
        return self.patient
