"""How to reach a person. Why stays with the clinical app: a notification names its subject, it does not know it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from ris.accounts.encryption import EncryptedTextField
from ris.core.lifecycle import PublicModel, Recorded


class Channel(models.TextChoices):
    IN_APP = "in_app", _("In the application")
    EMAIL = "email", _("E-mail")
    SMS = "sms", _("SMS")


class NotificationStatus(models.TextChoices):
    PENDING = "pending", _("Waiting")
    SENT = "sent", _("Sent")
    FAILED = "failed", _("Failed")


class Notification(PublicModel):
    """One message to one person by one channel. The text holds no patient data beyond what the channel may carry."""

    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="notifications"
    )
    address = EncryptedTextField(blank=True, help_text=_("E-mail address or phone number; none in the application."))
    channel = models.CharField(max_length=8, choices=Channel.choices)
    template = models.CharField(max_length=100)
    context = models.JSONField(default=dict, blank=True)
    language = models.CharField(max_length=8, default="en")
    subject = models.CharField(max_length=64, blank=True, help_text=_("UUID of what it is about."))
    url = models.CharField(max_length=300, blank=True)
    dedupe_key = models.CharField(max_length=150, blank=True)
    status = models.CharField(max_length=8, choices=NotificationStatus.choices, default=NotificationStatus.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    claimed_until = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("notification")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["dedupe_key"], condition=~Q(dedupe_key=""), name="notification_once"),
        ]
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=Q(status="pending"), name="notification_due"),
            models.Index(fields=["recipient", "-id"], name="notification_inbox"),
        ]

    def __str__(self) -> str:
        return f"{self.template} by {self.channel}"


class Duty(Recorded):
    """A purpose that somebody is on duty for ("radiologist on call", "ward 3"), and how the place itself is reached."""

    code = models.SlugField(_("code"), max_length=50, unique=True)
    name = models.CharField(_("name"), max_length=80)
    position = models.PositiveSmallIntegerField(_("position"), default=0)
    location = models.CharField(
        _("stands for the ward"),
        max_length=64,
        blank=True,
        help_text=_("As orders name the place of the patient; empty: for every ward that has no duty of its own."),
    )
    phone = models.CharField(_("extension or phone"), max_length=40, blank=True)
    email = models.EmailField(_("shared mailbox"), blank=True)
    sms = models.CharField(_("shared mobile phone"), max_length=40, blank=True)
    must_be_staffed = models.BooleanField(_("a gap is to be shown"), default=True)
    staffed_from = models.TimeField(_("staffed from"), null=True, blank=True, help_text=_("Empty: day and night."))
    staffed_until = models.TimeField(_("staffed until"), null=True, blank=True)
    is_active = models.BooleanField(_("in use"), default=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("duty")
        verbose_name_plural = _("duties")
        ordering = ["position", "name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(staffed_from__isnull=True, staffed_until__isnull=True)
                | Q(staffed_from__isnull=False, staffed_until__isnull=False),
                name="duty_hours_are_whole",
            )
        ]

    def __str__(self) -> str:
        return self.name


class RotaShift(PublicModel):
    """Who is on duty for a purpose ("radiologist on call"), from when to when; a substitute stands in for them."""

    duty = models.SlugField(_("duty"), max_length=50)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="shifts")
    substitute = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="substitutions",
        verbose_name=_("substitute"),
    )
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"))
    note = models.CharField(_("note"), max_length=120, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True, editable=False)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("shift")
        ordering = ["starts_at"]
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=models.F("starts_at")), name="shift_ends_later"),
            models.CheckConstraint(
                condition=Q(substitute__isnull=True) | ~Q(substitute=models.F("user")), name="substitute_is_another"
            ),
        ]
        indexes = [models.Index(fields=["duty", "ends_at"], name="shift_by_duty")]

    def __str__(self) -> str:
        return f"{self.duty} {self.starts_at:%Y-%m-%d %H:%M}"
