"""State transitions as data, checked in one place."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import ClassVar, Self

from django.db import models
from django.utils import timezone

from ris.core.actor import Actor
from ris.core.errors import InvalidTransition, NotKnown
from ris.core.expectations import compare_before_save, compare_locked
from ris.core.ids import uuid7

#: As much as a history row's reason holds.
LONGEST_REASON = 100


def signed(reason: str, actor: Actor) -> str:
    """``reason [door:name]``; a long reason is cut, never the signature."""
    signature = f" [{actor}]"[:LONGEST_REASON]
    return f"{str(reason)[: LONGEST_REASON - len(signature)]}{signature}"


class PublicModel(models.Model):
    """A row that the outside names by its UUID, never by its key."""

    uuid = models.UUIDField(default=uuid7, unique=True, editable=False)

    class Meta:
        abstract = True


class Recorded(PublicModel):
    """A row whose every save leaves a history row: who, through which door, why."""

    created_at = models.DateTimeField(auto_now_add=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True, editable=False)
    version = models.PositiveIntegerField(default=0, editable=False, help_text="Counts saves; the ETag.")

    class Meta:
        abstract = True

    @classmethod
    def locked(cls, pk) -> Self:
        """The row, locked until the transaction ends. Order of locks: patient, order, procedure, step, report."""
        try:
            row = cls._default_manager.select_for_update(of=("self",)).get(pk=pk)
        except cls.DoesNotExist:
            raise NotKnown(f"There is no such {cls._meta.verbose_name}.") from None
        compare_locked(row)
        return row

    def save(self, *args, **kwargs) -> None:
        compare_before_save(self)
        self.version += 1
        update_fields = kwargs.get("update_fields")
        if update_fields is not None:
            kwargs["update_fields"] = {*update_fields, "version", "updated_at"}
        super().save(*args, **kwargs)

    def save_as(self, actor: Actor, reason: str) -> None:
        """Save, and sign the history row that the save writes."""
        self._history_user = actor.user
        self._change_reason = signed(reason, actor)
        self.save()


class Lifecycle(Recorded):
    """A model whose ``status`` only moves along ``transitions``.

    Services lock the row, move it, and save it with its history entry:

        report = Report.locked(report.pk)
        report.move_to(ReportStatus.FINAL)
        report.save_as(actor, "Signed")
    """

    transitions: ClassVar[Mapping[str, Set[str]]]
    status: str

    status_changed_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        abstract = True

    def can_move_to(self, status: str) -> bool:
        return status in self.transitions.get(self.status, frozenset())

    def move_to(self, status: str) -> None:
        if not self.can_move_to(status):
            allowed = ", ".join(sorted(self.transitions.get(self.status, ()))) or "nothing"
            raise InvalidTransition(
                f"A {self._meta.verbose_name} that is {self.status} cannot become {status}.",
                asked=f"{self.status} -> {status}",
                found=f"It is {self.status}.",
                todo=f"From here it can become: {allowed}.",
            )
        self.status = str(status)
        self.status_changed_at = timezone.now()
