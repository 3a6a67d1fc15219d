"""Who we speak DICOM with, and what was spoken."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from pydicom import charset
from simple_history.models import HistoricalRecords

from interop.dicom.charsets import Spelling
from orders.models import Modality
from ris.core.lifecycle import Recorded
from worklist.data import MwlScope
from worklist.models.rooms import ae_title_validator
from worklist.models.schedule import OFFERED


def character_set_validator(value: str) -> None:
    """The terms of (0008,0005), separated by backslashes; the first may be empty (PS3.3 C.12.1.1.2)."""
    terms = [term.strip() for term in value.split("\\")]
    unknown = [term for number, term in enumerate(terms) if term not in CHARACTER_SETS and (term or number)]
    if unknown or ("ISO_IR 192" in terms and len(terms) > 1):
        raise ValidationError(
            _("%(value)s is no character set of DICOM; one is for example ISO_IR 192, ISO_IR 100 or ISO 2022 IR 87."),
            params={"value": value},
        )


CHARACTER_SETS = frozenset(charset.python_encoding) - {"", "ISO 2022 58", "ISO 2022 GBK"}
OFFERED_STATUSES = [(status.value, status.label) for status in OFFERED]


class NameGroups(models.TextChoices):
    """Which component groups of a name (PS3.5 6.2.1.2) a peer is told."""

    ALL = "all", _("all that there are")
    ALPHABETIC = "alphabetic", _("the alphabetic one only")
    IDEOGRAPHIC = "ideographic", _("the ideographic one first, where there is one")


class DicomPeer(Recorded):
    """An AE title that may call us or be called, and what it may do. ``*`` and ``?`` in the title are wildcards."""

    ae_title = models.CharField(_("AE title"), max_length=16, unique=True, validators=[ae_title_validator])
    description = models.CharField(_("description"), max_length=100, blank=True)
    allowed_addresses = ArrayField(
        models.CharField(max_length=64), default=list, blank=True, verbose_name=_("calls from (addresses or networks)")
    )
    host = models.CharField(_("host we call it at"), max_length=255, blank=True)
    port = models.PositiveIntegerField(_("port"), null=True, blank=True)
    may_echo = models.BooleanField(_("may verify"), default=True)
    may_query_worklist = models.BooleanField(_("may query the worklist"), default=False)
    may_send_mpps = models.BooleanField(_("may send MPPS"), default=False)
    may_store = models.BooleanField(_("may store"), default=False)
    may_reject = models.BooleanField(
        _("may reject objects of others"),
        default=False,
        help_text=_("Its rejection notes hide what others have sent, too. Without it: only what it has sent itself."),
    )
    may_commit = models.BooleanField(_("may ask for storage commitment"), default=False)
    may_query = models.BooleanField(_("may query and retrieve"), default=False)
    sees_all_stations = models.BooleanField(_("sees the worklist of all stations"), default=True)
    shown_stations = ArrayField(
        models.CharField(max_length=16, validators=[ae_title_validator]),
        default=list,
        blank=True,
        verbose_name=_("sees only these stations"),
        help_text=_("AE titles, separated by commas. Empty: no limit."),
    )
    shown_modalities = ArrayField(
        models.CharField(max_length=4, choices=Modality.choices),
        default=list,
        blank=True,
        verbose_name=_("sees only these modalities"),
        help_text=_("Separated by commas. Empty: no limit."),
    )
    hidden_statuses = ArrayField(
        models.CharField(max_length=16, choices=OFFERED_STATUSES),
        default=list,
        blank=True,
        verbose_name=_("does not see steps that are"),
        help_text=_("SCHEDULED, ARRIVED or READY. Started and finished steps are never shown."),
    )
    hides_blocked = models.BooleanField(_("does not see steps that safety screening blocks"), default=False)
    hides_restricted = models.BooleanField(_("does not see restricted patients"), default=False)
    days_back = models.PositiveSmallIntegerField(
        _("days back"), null=True, blank=True, help_text=_("Of queries without a date. Empty: no limit.")
    )
    days_ahead = models.PositiveSmallIntegerField(
        _("days ahead"), null=True, blank=True, help_text=_("Of queries without a date. Empty: no limit.")
    )
    max_results = models.PositiveIntegerField(_("most answers"), default=500)
    character_set = models.CharField(
        _("character set"), max_length=64, default="ISO_IR 192", validators=[character_set_validator]
    )
    name_groups = models.CharField(
        _("component groups of names"), max_length=16, choices=NameGroups.choices, default=NameGroups.ALL
    )
    name_in_capitals = models.BooleanField(_("names in capital letters"), default=False)
    name_with_affixes = models.BooleanField(_("names with prefix and suffix"), default=True)
    uses_tls = models.BooleanField(_("is called over TLS"), default=False)
    forward_mpps = models.BooleanField(_("is sent performed steps (MPPS)"), default=False)
    forward_images = models.BooleanField(_("is sent every complete study"), default=False)
    receives_availability = models.BooleanField(_("is told when images are available"), default=False)
    receives_rejections = models.BooleanField(_("is sent rejection notes"), default=False)
    receives_as_sent = models.BooleanField(
        _("is sent images as they came"),
        default=False,
        help_text=_("Without the patient and the numbers as they are known now."),
    )
    is_archive = models.BooleanField(_("is asked for earlier studies"), default=False)
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("DICOM peer")
        ordering = ["ae_title"]
        constraints = [
            models.CheckConstraint(
                condition=Q(port__isnull=True) | Q(port__gte=1, port__lte=65535), name="peer_port_is_a_port"
            ),
        ]

    def __str__(self) -> str:
        return self.ae_title

    @property
    def scope(self) -> MwlScope:
        """How much of the worklist it is shown, whatever it asks for."""
        return MwlScope(
            stations=tuple(self.shown_stations),
            modalities=tuple(self.shown_modalities),
            hidden_statuses=tuple(self.hidden_statuses),
            hides_blocked=self.hides_blocked,
            hides_restricted=self.hides_restricted,
            days_back=self.days_back,
            days_ahead=self.days_ahead,
        )

    @property
    def spelling(self) -> Spelling:
        """How it is told text and names."""
        return Spelling(self.character_set, self.name_groups, self.name_in_capitals, self.name_with_affixes)


class AssociationLog(models.Model):
    """One association: who called, what for, how it ended. No patient data."""

    calling_ae_title = models.CharField(max_length=16)
    called_ae_title = models.CharField(max_length=16)
    address = models.CharField(max_length=64)
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=32)
    counts = models.JSONField(default=dict, help_text="{service: number of requests}")
    refused = models.JSONField(default=dict, help_text="{status: number}")

    class Meta:
        verbose_name = _("association")
        ordering = ["-pk"]
        indexes = [models.Index(fields=["calling_ae_title", "-id"], name="association_peer")]

    def __str__(self) -> str:
        return f"{self.calling_ae_title} {self.started_at:%Y-%m-%d %H:%M:%S}"
