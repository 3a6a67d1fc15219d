"""Who has come and waits: a number per arrival, and the displays that show numbers and rooms, never names."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from orders.models import ProcedureStatus, RequestedProcedure
from ris.core.lifecycle import Recorded
from worklist.models.rooms import Room
from worklist.querysets import TicketQuerySet


class QueueTicket(Recorded):
    """The number a patient holds from the arrival on: unique in the facility and on its day, such as CT-007.

    Whether it still waits is the exam's word: a ticket waits while its procedure is *arrived*.
    """

    procedure = models.ForeignKey(
        RequestedProcedure, on_delete=models.PROTECT, related_name="tickets", verbose_name=_("exam")
    )
    day = models.DateField(_("day"))
    prefix = models.CharField(_("prefix"), max_length=4)
    number = models.PositiveIntegerField(_("number"))
    issued_at = models.DateTimeField(_("issued at"), default=timezone.now)
    printed_count = models.PositiveSmallIntegerField(_("printed"), default=0)
    called_at = models.DateTimeField(_("called at"), null=True, blank=True)
    called_to = models.ForeignKey(
        Room, null=True, blank=True, on_delete=models.PROTECT, related_name="+", verbose_name=_("called to")
    )
    called_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    call_count = models.PositiveSmallIntegerField(_("calls"), default=0)

    history = HistoricalRecords()
    objects = TicketQuerySet.as_manager()

    class Meta:
        verbose_name = _("ticket")
        ordering = ["day", "issued_at", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["day", "prefix", "number"], name="ticket_number_once_a_day"),
            models.UniqueConstraint(fields=["procedure", "day"], name="one_ticket_per_exam_and_day"),
            models.CheckConstraint(
                condition=Q(called_at__isnull=True, called_to__isnull=True, call_count=0)
                | Q(called_at__isnull=False, called_to__isnull=False, call_count__gt=0),
                name="called_ticket_has_room_and_time",
            ),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def label(self) -> str:
        """What is printed, shown and called out."""
        return f"{self.prefix}-{self.number:03}"

    @property
    def is_waiting(self) -> bool:
        return self.procedure.status == ProcedureStatus.ARRIVED

    @property
    def accession_number(self) -> str:
        return self.procedure.accession_number

    @property
    def audit_patient(self):
        return self.procedure.order.patient.uuid


class WaitingRoomDisplay(Recorded):
    """A screen in a waiting room: opened by a long-lived link of its own, which is kept as a hash only."""

    name = models.CharField(_("name"), max_length=64, unique=True)
    rooms = models.ManyToManyField(
        Room, blank=True, related_name="+", verbose_name=_("rooms"), help_text=_("None chosen: all rooms.")
    )
    language = models.CharField(_("language"), max_length=8, blank=True, choices=settings.LANGUAGES)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    revoked_at = models.DateTimeField(_("closed at"), null=True, blank=True, editable=False)

    history = HistoricalRecords(excluded_fields=["digest"])

    class Meta:
        verbose_name = _("waiting-room display")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
