"""Who did what to whose data, through which door (IHE ATNA, FHIR AuditEvent), and the seals that prove it whole.

No foreign keys: a row outlives what it speaks of. The application's database role may insert and read, no more.
Rows are inserted unchained; one sealer per facility chains finished ranges afterwards.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Func
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from ris.core.ids import uuid7


class TransactionId(Func):
    """The 64-bit id of the inserting transaction: a range is finished when none below it still runs."""

    template = "(pg_current_xact_id()::text::bigint)"
    output_field = models.BigIntegerField()


class Action(models.TextChoices):
    """DICOM PS3.15 A.5.2 / FHIR audit-event-action"""

    CREATE = "C", _("Create")
    READ = "R", _("Read")
    UPDATE = "U", _("Update")
    DELETE = "D", _("Delete")
    EXECUTE = "E", _("Execute")


class Outcome(models.IntegerChoices):
    """FHIR audit-event-outcome"""

    SUCCESS = 0, _("Success")
    REFUSED = 4, _("Refused")
    FAILED = 8, _("Failed")


class AuditEvent(models.Model):
    uuid = models.UUIDField(default=uuid7, unique=True, editable=False)
    recorded_at = models.DateTimeField(db_default=Now(), editable=False)
    transaction = models.BigIntegerField(db_default=TransactionId(), editable=False)
    action = models.CharField(max_length=1, choices=Action.choices)
    event_type = models.CharField(max_length=100, help_text="The service or page, as app.verb_noun.")
    outcome = models.PositiveSmallIntegerField(choices=Outcome.choices, default=Outcome.SUCCESS)
    source = models.CharField(max_length=20, help_text="The door: web, admin, api, fhir, mwl, mpps, storage, hl7 ...")
    user = models.UUIDField(null=True, blank=True)
    user_name = models.CharField(max_length=150, blank=True)
    ae_title = models.CharField(max_length=16, blank=True)
    address = models.CharField(max_length=64, blank=True)
    patient = models.UUIDField(null=True, blank=True)
    patients = ArrayField(models.UUIDField(), default=list, blank=True)
    entity_type = models.CharField(max_length=60, blank=True)
    entity = models.UUIDField(null=True, blank=True)
    accession_number = models.CharField(max_length=16, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    detail = models.JSONField(default=dict, blank=True, help_text="Identifiers, counts and codes; never names.")
    correlation_id = models.CharField(max_length=64, blank=True)

    rows_are_append_only = True

    class Meta:
        verbose_name = _("audit event")
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["patient", "-id"], name="audit_patient"),
            GinIndex(fields=["patients"], name="audit_patients"),
            models.Index(fields=["user", "-id"], name="audit_user"),
            models.Index(fields=["entity", "-id"], name="audit_entity"),
            models.Index(fields=["event_type", "-id"], name="audit_type"),
            models.Index(fields=["transaction", "id"], name="audit_seal_order"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} by {self.user_name or self.ae_title or self.source}"


class AuditSeal(models.Model):
    """A finished range of rows, chained to the one before by HMAC-SHA-256."""

    epoch = models.PositiveIntegerField(default=0, help_text="One more after each restore that set transactions back.")
    after_event = models.BigIntegerField(default=0, help_text="Row ids up to here belong to earlier epochs.")
    first_transaction = models.BigIntegerField()
    before_transaction = models.BigIntegerField(help_text="All transactions below this one had ended.")
    last_event = models.BigIntegerField(help_text="The highest row id of the range.")
    rows = models.PositiveIntegerField()
    key_id = models.CharField(max_length=32)
    previous_digest = models.CharField(max_length=64, blank=True)
    digest = models.CharField(max_length=64, unique=True)
    sealed_at = models.DateTimeField(editable=False)

    rows_are_append_only = True

    class Meta:
        verbose_name = _("audit seal")
        ordering = ["-pk"]
        constraints = [models.UniqueConstraint(fields=["previous_digest"], name="audit_seals_do_not_fork")]

    def __str__(self) -> str:
        return f"seal {self.pk}: {self.rows} rows"
