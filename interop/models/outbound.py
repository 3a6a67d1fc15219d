"""What became of messages on their way out, what they were before somebody edited them, and who was told of waiting."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from interop.models.messages import OutboundMessage
from ris.core.lifecycle import PublicModel


class OutboundAttempt(models.Model):
    """A try that did not deliver: no answer, AE, AR. What was delivered says so in the message itself."""

    message = models.ForeignKey(OutboundMessage, on_delete=models.PROTECT, related_name="failures")
    number = models.PositiveIntegerField(_("try"))
    at = models.DateTimeField(default=timezone.now)
    code = models.CharField(_("answer"), max_length=2, blank=True)
    error = models.CharField(_("what happened"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("try")
        verbose_name_plural = _("tries")
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.message_id} #{self.number}"


class OutboundOriginal(models.Model):
    """A message as it was before somebody edited it. The edited one keeps its place in the queue."""

    message = models.ForeignKey(OutboundMessage, on_delete=models.PROTECT, related_name="originals")
    control_id = models.CharField(max_length=20)
    body = models.BinaryField()
    acknowledgement = models.BinaryField(null=True)
    last_error = models.CharField(max_length=500, blank=True)
    replaced_at = models.DateTimeField(default=timezone.now)
    replaced_by = models.CharField(_("edited by"), max_length=150)
    reason = models.CharField(_("why"), max_length=300)

    class Meta:
        verbose_name = _("original")
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.control_id


class InterfaceAlert(PublicModel):
    """Something waits too long at one partner (a card's key): found, told, over, told that it is over.

    What was told stands here, so that a restart tells nobody twice.
    """

    key = models.CharField(max_length=150)
    name = models.CharField(_("partner"), max_length=100)
    waiting = models.PositiveIntegerField(_("waiting"), default=0)
    since = models.DateTimeField(_("waits since"))
    error = models.CharField(_("last error"), max_length=500, blank=True)
    opened_at = models.DateTimeField(_("found at"), default=timezone.now)
    told_at = models.DateTimeField(_("told at"), null=True, blank=True)
    recovered_at = models.DateTimeField(_("over at"), null=True, blank=True)
    recovery_told_at = models.DateTimeField(_("told that it is over"), null=True, blank=True)

    class Meta:
        verbose_name = _("alert")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["key"], condition=Q(recovered_at__isnull=True), name="one_open_alert_per_partner"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key} {self.opened_at:%Y-%m-%d %H:%M}"
