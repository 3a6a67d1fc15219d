"""What `public` holds, and all that it holds: the facilities and the doors by which each is found.

A tenant is a Facility: one PostgreSQL schema, the boundary of patient identity and of data control. Everything
clinical, and every person, lives in a facility's own schema.
"""

from __future__ import annotations

import ipaddress
import re
import zoneinfo
from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django_tenants.models import DomainMixin, TenantMixin

from ris.core.ids import uuid7

TEMPLATE_SCHEMA = "template_facility"
#: Schemas that are no facility and can never become one.
RESERVED_SCHEMAS = frozenset({"public", "pristine", "information_schema", TEMPLATE_SCHEMA})
SCHEMA_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
FINGERPRINT = re.compile(r"[0-9a-f]{64}")

#: PS3.5 6.2, VR AE: at most 16 characters of the default repertoire, no backslash. We leave out quotes as well.
ae_title_validator = RegexValidator(
    r"\A[A-Za-z0-9_.\-]([A-Za-z0-9_.\- ]{0,14}[A-Za-z0-9_.\-])?\Z",
    _("An AE title has 1 to 16 letters, digits, or one of _ . - (spaces only inside)."),
)


def validate_schema_name(value: str) -> None:
    if not SCHEMA_NAME.fullmatch(value) or value in RESERVED_SCHEMAS or value.startswith("pg_"):
        raise ValidationError(
            _("%(value)s cannot name a facility: use a letter, then letters, digits and underscores."),
            params={"value": value},
        )


def validate_time_zone(value: str) -> None:
    if value not in zoneinfo.available_timezones():
        raise ValidationError(_("%(value)s is not a time zone of the IANA database."), params={"value": value})


def validate_networks(value: Iterable[str]) -> None:
    """A list of addresses and networks in CIDR notation, IPv4 or IPv6."""
    if not isinstance(value, list):
        raise ValidationError(_("Give a list of networks, for example 10.1.2.0/24."))
    for network in value:
        try:
            ipaddress.ip_network(str(network))
        except ValueError:
            raise ValidationError(
                _("%(value)s is not a network in CIDR notation."), params={"value": network}
            ) from None


def validate_fingerprints(value: Iterable[str]) -> None:
    """A list of SHA-256 fingerprints: 64 hexadecimal digits, lower case, no colons."""
    if not isinstance(value, list):
        raise ValidationError(_("Give a list of SHA-256 fingerprints."))
    for fingerprint in value:
        if not FINGERPRINT.fullmatch(str(fingerprint)):
            raise ValidationError(
                _("%(value)s is not a SHA-256 fingerprint (64 hexadecimal digits)."), params={"value": fingerprint}
            )


class Language(models.TextChoices):
    ENGLISH = "en", _("English")
    SWAHILI = "sw", _("Swahili")


class DateOrder(models.TextChoices):
    DAY_FIRST = "DMY", _("Day, month, year")
    MONTH_FIRST = "MDY", _("Month, day, year")
    YEAR_FIRST = "YMD", _("Year, month, day")


class Facility(TenantMixin):
    """A hospital or an imaging centre; its data are in the schema ``schema_name`` and nowhere else."""

    uuid = models.UUIDField(default=uuid7, unique=True, editable=False)
    name = models.CharField(_("name"), max_length=120)
    short_name = models.CharField(_("short name"), max_length=24, blank=True)
    time_zone = models.CharField(
        _("time zone"), max_length=64, default="Africa/Nairobi", validators=[validate_time_zone]
    )
    language = models.CharField(_("language"), max_length=8, choices=Language.choices, default=Language.ENGLISH)
    date_order = models.CharField(
        _("order of dates"), max_length=3, choices=DateOrder.choices, default=DateOrder.DAY_FIRST
    )
    ae_title = models.CharField(_("AE title"), max_length=16, unique=True, validators=[ae_title_validator])
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    #: The schema is made by ris.tenants.services.create_facility, never by a save.
    auto_create_schema = False
    auto_drop_schema = False

    class Meta:
        verbose_name = _("facility")
        verbose_name_plural = _("facilities")
        ordering = ["schema_name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(schema_name__regex=r"^[a-z][a-z0-9_]{0,47}$")
                & ~models.Q(schema_name__in=sorted(RESERVED_SCHEMAS)),
                name="facility_schema_name_is_plain",
            ),
        ]

    def __str__(self) -> str:
        return self.short_name or self.name

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        return zoneinfo.ZoneInfo(self.time_zone)

    def clean(self) -> None:
        validate_schema_name(self.schema_name)


class Domain(DomainMixin):
    """A host name under which browsers and API clients reach a facility. Lower case, no port."""

    class Meta:
        verbose_name = _("domain")
        verbose_name_plural = _("domains")
        ordering = ["domain"]


class Door(models.Model):
    """From where a name that the sender chooses may be used: addresses, or client certificates."""

    allowed_addresses = models.JSONField(
        _("allowed addresses"),
        default=list,
        blank=True,
        validators=[validate_networks],
        help_text=_("Networks in CIDR notation. With none, and no certificate, nobody is let in."),
    )
    require_tls = models.BooleanField(_("TLS only"), default=False)
    certificate_fingerprints = models.JSONField(
        _("certificate fingerprints"),
        default=list,
        blank=True,
        validators=[validate_fingerprints],
        help_text=_("SHA-256 fingerprints of client certificates that are let in from any address."),
    )
    is_active = models.BooleanField(_("active"), default=True)

    class Meta:
        abstract = True


class CalledAETitle(Door):
    """An AE title under which a facility is called (PS3.8 9.3.2, Called AE title)."""

    facility = models.ForeignKey(Facility, on_delete=models.PROTECT, related_name="called_ae_titles")
    ae_title = models.CharField(_("AE title"), max_length=16, unique=True, validators=[ae_title_validator])

    class Meta:
        verbose_name = _("called AE title")
        verbose_name_plural = _("called AE titles")
        ordering = ["ae_title"]

    def __str__(self) -> str:
        return self.ae_title


class MLLPReceiver(Door):
    """How HL7 v2 messages find a facility: by a port of its own, or by MSH-5 and MSH-6."""

    facility = models.ForeignKey(Facility, on_delete=models.PROTECT, related_name="mllp_receivers")
    port = models.PositiveIntegerField(
        _("port"), null=True, blank=True, help_text=_("Only when this port serves this facility alone.")
    )
    receiving_application = models.CharField(_("receiving application (MSH-5)"), max_length=180, blank=True)
    receiving_facility = models.CharField(_("receiving facility (MSH-6)"), max_length=180, blank=True)

    class Meta:
        verbose_name = _("MLLP receiver")
        verbose_name_plural = _("MLLP receivers")
        ordering = ["port", "receiving_application", "receiving_facility"]
        constraints = [
            models.UniqueConstraint(
                fields=["port"], condition=models.Q(port__isnull=False), name="mllp_port_serves_one_facility"
            ),
            models.UniqueConstraint(
                fields=["receiving_application", "receiving_facility"],
                condition=models.Q(port__isnull=True),
                name="mllp_names_mean_one_facility",
            ),
            models.CheckConstraint(
                condition=models.Q(port__isnull=False) | ~models.Q(receiving_facility=""),
                name="mllp_receiver_is_findable",
            ),
        ]

    def __str__(self) -> str:
        return str(self.port or f"{self.receiving_application}|{self.receiving_facility}")


class RefusedConnection(models.Model):
    """A knock at a door that no facility opened: counted, without payload; a flood is one row."""

    class Kind(models.TextChoices):
        DICOM = "dicom", "DICOM"
        MLLP = "mllp", "MLLP"
        HTTP = "http", "HTTP"

    kind = models.CharField(_("kind"), max_length=8, choices=Kind.choices)
    called = models.CharField(_("called"), max_length=80, blank=True)
    calling = models.CharField(_("calling"), max_length=80, blank=True)
    address = models.CharField(_("address"), max_length=45, blank=True)
    reason = models.CharField(_("reason"), max_length=40)
    count = models.PositiveBigIntegerField(_("count"), default=1)
    first_at = models.DateTimeField(_("first"), default=timezone.now)
    last_at = models.DateTimeField(_("last"), default=timezone.now)

    class Meta:
        verbose_name = _("refused connection")
        verbose_name_plural = _("refused connections")
        ordering = ["-last_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "address", "reason", "called", "calling"], name="refused_connection_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.called} ({self.address})"
