"""The reading list's furniture: who has what open, and lists that people keep."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from orders.models import RequestedProcedure
from reporting.querysets import LOCK_IDLE, ReadingLockQuerySet, SavedListQuerySet
from ris.core.lifecycle import PublicModel


class ReadingLock(models.Model):
    """Who reads this exam now. A heartbeat keeps it; after idle_minutes it is free, and the draft stays."""

    procedure = models.OneToOneField(RequestedProcedure, on_delete=models.PROTECT, related_name="reading_lock")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="reading_locks")
    claimed_at = models.DateTimeField(default=timezone.now)
    heartbeat_at = models.DateTimeField(default=timezone.now)

    rows_may_be_deleted = True
    objects = ReadingLockQuerySet.as_manager()

    class Meta:
        verbose_name = _("reading lock")

    def __str__(self) -> str:
        return f"{self.procedure_id} by {self.user_id}"

    @property
    def is_live(self) -> bool:
        return self.heartbeat_at > timezone.now() - LOCK_IDLE


class SavedList(PublicModel):
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="saved_lists"
    )
    role = models.SlugField(_("for the role"), max_length=50, blank=True)
    name = models.CharField(_("name"), max_length=60)
    query = models.JSONField(default=dict, help_text="Filter names and values, as in the URL; never names of patients.")
    position = models.PositiveSmallIntegerField(default=0)
    is_shared = models.BooleanField(
        _("shared"), default=False, help_text=_("With everybody who reads, or with those of the role.")
    )

    rows_may_be_deleted = True
    objects = SavedListQuerySet.as_manager()

    class Meta:
        verbose_name = _("saved list")
        ordering = ["position", "name"]

    def __str__(self) -> str:
        return self.name
