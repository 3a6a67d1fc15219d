"""What identity rests on besides the patient: issuers and their syntax, links, and the words that names consist of."""

from __future__ import annotations

from typing import LiteralString

from django.contrib.postgres.indexes import GinIndex
from django.db import connection, models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from orders.models.patients import IdentifierType, Patient
from ris.core.lifecycle import PublicModel, Recorded

LEARN: LiteralString = """
insert into orders_namepart (word)
select distinct word from orders_patient p, unnest(tsvector_to_array(p.name_words)) word
where p.id = coalesce(%s, p.id) order by 1
on conflict do nothing
"""


class CheckDigit(models.TextChoices):
    """HL7 table 0061"""

    NONE = "", _("None")
    MOD_10 = "M10", _("Modulo 10 (Luhn)")
    MOD_11 = "M11", _("Modulo 11")


class IdentifierIssuer(Recorded):
    """Who gives out identifiers of a type, and what they look like. No row: any syntax is taken."""

    issuer = models.CharField(_("issuer"), max_length=64)
    type = models.CharField(_("type"), max_length=8, choices=IdentifierType.choices, default=IdentifierType.NATIONAL)
    name = models.CharField(_("name"), max_length=100, help_text=_("As people at the desk call it."))
    syntax = models.CharField(
        _("what it looks like"),
        max_length=100,
        blank=True,
        help_text=_("A regular expression for the whole identifier, for example [0-9]{8}. Empty: anything."),
    )
    check_digit = models.CharField(
        _("check digit"), max_length=3, choices=CheckDigit.choices, default=CheckDigit.NONE, blank=True
    )
    example = models.CharField(_("example"), max_length=64, blank=True)
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("issuer of identifiers")
        verbose_name_plural = _("issuers of identifiers")
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["issuer", "type"], name="one_syntax_per_issuer_and_type"),
            models.CheckConstraint(condition=~Q(issuer=""), name="issuer_has_a_code"),
        ]

    def __str__(self) -> str:
        return self.name or self.issuer


class PatientLink(PublicModel):
    """Two records of one person that both stay in use: the other one is kept by another registry (HL7 ADT^A24)."""

    first = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="links_made")
    second = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="links_received")
    reason = models.CharField(_("reason"), max_length=200)
    source = models.CharField(max_length=20)
    linked_at = models.DateTimeField(_("linked at"), default=timezone.now)
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("link")
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(first__lt=F("second")), name="link_of_two_patients_in_order_of_key"),
            models.UniqueConstraint(
                fields=["first", "second"], condition=Q(ended_at__isnull=True), name="one_live_link_per_pair"
            ),
        ]

    def __str__(self) -> str:
        return f"link of {self.linked_at:%Y-%m-%d %H:%M}"

    @property
    def audit_patient(self):
        return self.first.uuid


class NamePart(models.Model):
    """Every word that stands in a patient's name, once: typing errors are looked for here, among thousands of words
    instead of millions of names. ``Patient.save`` adds to it; a word is never taken away."""

    word = models.CharField(max_length=400, primary_key=True, db_collation="C")

    class Meta:
        verbose_name = _("part of names")
        indexes = [
            GinIndex(fields=["word"], opclasses=["gin_trgm_ops"], fastupdate=False, name="name_part_trigrams"),
        ]

    def __str__(self) -> str:
        return self.word

    @staticmethod
    def learn(patient: Patient | None = None) -> None:
        """The words of one patient, or of all (after rows were written beside the models)."""
        with connection.cursor() as cursor:
            cursor.execute(LEARN, [patient.pk if patient is not None else None])
