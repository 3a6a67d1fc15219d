"""What is agreed with each HL7 sender, the codes that are theirs, and what of theirs waits for a person."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from interop.models.messages import Hl7Destination, InboundMessage
from orders.models import Laterality
from ris.core.lifecycle import PublicModel, Recorded


class UnknownSurvivor(models.TextChoices):
    REGISTER = "register", _("Register the survivor")
    REFUSE = "refuse", _("Refuse the merge (AE 204)")


class ReversedMerge(models.TextChoices):
    REFUSE = "refuse", _("Refuse (AR 205)")
    IGNORE = "ignore", _("Accept and change nothing")


class RetiredIdentifier(models.TextChoices):
    SURVIVOR = "survivor", _("Take the surviving record")
    REFUSE = "refuse", _("Refuse (AE 204 at PID-3)")


class TakenResults(models.TextChoices):
    IMAGING = "imaging", _("Reports, not laboratory values")
    ALL = "all", _("All results")
    NONE = "none", _("None")


class Hl7Sender(Recorded):
    """How messages of one MSH-3 and MSH-4 are understood. Empty names mean everybody else.

    The three tables hold what differs from the house's own: ``order_actions`` {"XO|CM": "note"}, ``field_sources``
    {"accession_number": ["IPC-1", "OBR-18"]}, ``value_maps`` {"sex": {"W": "F"}}.
    """

    application = models.CharField(_("sending application (MSH-3)"), max_length=180, blank=True)
    facility_name = models.CharField(_("sending facility (MSH-4)"), max_length=180, blank=True)
    issuer = models.CharField(
        _("issuer of its patient numbers"), max_length=64, blank=True, help_text=_("Where CX.4 is empty.")
    )
    order_actions = models.JSONField(_("orders: what ORC-1 with ORC-5 does"), default=dict, blank=True)
    field_sources = models.JSONField(_("where fields are read from"), default=dict, blank=True)
    value_maps = models.JSONField(_("what its values mean"), default=dict, blank=True)
    unknown_survivor = models.CharField(
        _("merge into an unknown record"),
        max_length=10,
        choices=UnknownSurvivor.choices,
        default=UnknownSurvivor.REGISTER,
    )
    reversed_merge = models.CharField(
        _("merge that reverses an earlier one"),
        max_length=10,
        choices=ReversedMerge.choices,
        default=ReversedMerge.REFUSE,
    )
    retired_identifier = models.CharField(
        _("number that a merge has retired"),
        max_length=10,
        choices=RetiredIdentifier.choices,
        default=RetiredIdentifier.SURVIVOR,
    )
    taken_results = models.CharField(
        _("results that become outside reports"),
        max_length=10,
        choices=TakenResults.choices,
        default=TakenResults.IMAGING,
    )
    may_overbook = models.BooleanField(
        _("its appointments may overlap"), default=False, help_text=_("It keeps the schedule, not we.")
    )
    answers_to = models.ForeignKey(
        Hl7Destination,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("application acknowledgements go to"),
        help_text=_("In enhanced mode. Empty: back on the connection that the message came on."),
    )

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("HL7 sender")
        verbose_name_plural = _("HL7 senders")
        ordering = ["application", "facility_name"]
        constraints = [
            models.UniqueConstraint(fields=["application", "facility_name"], name="one_agreement_per_hl7_sender"),
        ]

    def __str__(self) -> str:
        return "|".join(part for part in (self.application, self.facility_name) if part) or str(_("Everybody else"))


class CodeAlias(PublicModel):
    """What a sender's own code means in the catalogue: said once by a person. Forgotten, it is inactive."""

    sender = models.ForeignKey(
        Hl7Sender, on_delete=models.PROTECT, related_name="code_aliases", verbose_name=_("sender")
    )
    scheme = models.CharField(_("coding scheme"), max_length=64, blank=True)
    code = models.CharField(_("code"), max_length=199)
    procedure = models.ForeignKey(
        "orders.CatalogueProcedure", on_delete=models.PROTECT, related_name="+", verbose_name=_("exam")
    )
    laterality = models.CharField(_("side"), max_length=1, choices=Laterality.choices, blank=True, default="")
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(_("since"), default=timezone.now)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("code of a sender")
        verbose_name_plural = _("codes of senders")
        ordering = ["sender", "code"]
        constraints = [
            models.UniqueConstraint(fields=["sender", "scheme", "code"], name="one_meaning_per_code_of_a_sender"),
        ]

    def __str__(self) -> str:
        return self.code


class UnmappedCode(PublicModel):
    """An exam that was ordered under a code that nobody has explained yet. Open as long as the exam is unmapped."""

    message = models.ForeignKey(InboundMessage, on_delete=models.PROTECT, related_name="unmapped_codes")
    procedure = models.OneToOneField("orders.RequestedProcedure", on_delete=models.PROTECT, related_name="+")
    sending_application = models.CharField(_("sending application"), max_length=180, blank=True)
    sending_facility = models.CharField(_("sending facility"), max_length=180, blank=True)
    scheme = models.CharField(_("coding scheme"), max_length=64, blank=True)
    code = models.CharField(_("code"), max_length=199)
    meaning = models.CharField(_("meaning"), max_length=199, blank=True)
    since = models.DateTimeField(_("waits since"), default=timezone.now)

    class Meta:
        verbose_name = _("unmapped code")
        verbose_name_plural = _("unmapped codes")
        ordering = ["pk"]
        indexes = [models.Index(fields=["sending_application", "code"], name="unmapped_code")]

    def __str__(self) -> str:
        return self.code

    @property
    def audit_patient(self):
        return self.procedure.order.patient.uuid


class SenderAppointment(PublicModel):
    """The number by which a sender calls an appointment (SCH-1)."""

    sending_application = models.CharField(max_length=180, blank=True)
    sending_facility = models.CharField(max_length=180, blank=True)
    number = models.CharField(max_length=199)
    reservation = models.ForeignKey("worklist.Reservation", on_delete=models.PROTECT, related_name="+")

    class Meta:
        verbose_name = _("appointment of a sender")
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["sending_application", "sending_facility", "number"], name="one_appointment_per_number"
            ),
        ]

    def __str__(self) -> str:
        return self.number
