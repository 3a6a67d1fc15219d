"""People and what they may do, in one facility."""

from __future__ import annotations

import functools

from django.contrib.auth.models import AbstractBaseUser, PermissionsMixin
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from ris.accounts.encryption import EncryptedTextField
from ris.accounts.managers import UserManager
from ris.accounts.memory import forget
from ris.core import permissions
from ris.core.expectations import compare_before_save
from ris.core.ids import uuid7
from ris.core.lifecycle import PublicModel, Recorded


class Role(Recorded):
    """A bundle of rights. The built-in ones are what the code declares; an administrator composes others."""

    name = models.SlugField(max_length=50, unique=True)
    label = models.CharField(_("label"), max_length=100)
    is_builtin = models.BooleanField(default=False, editable=False)
    permissions = ArrayField(models.CharField(max_length=100), default=list, blank=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("role")
        ordering = ["name"]

    def __str__(self) -> str:
        return gettext(self.label) if self.label else self.name

    @property
    def codes(self) -> frozenset[str]:
        if self.is_builtin:
            return permissions.codes_of_role(self.name)
        return frozenset(self.permissions) & permissions.permissions().keys()


class Site(Recorded):
    """A place of the facility: hospitals that share patients are sites of one facility."""

    code = models.SlugField(max_length=16, unique=True)
    name = models.CharField(_("name"), max_length=100)
    address = models.TextField(_("address"), blank=True)
    phone = models.CharField(_("phone"), max_length=40, blank=True)
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("site")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class User(AbstractBaseUser, PermissionsMixin):
    """Somebody who signs in, or a program that holds an API key. No superusers: rights come from roles."""

    uuid = models.UUIDField(default=uuid7, unique=True, editable=False)
    username = models.CharField(_("user name"), max_length=150, unique=True, validators=[UnicodeUsernameValidator()])
    email = models.EmailField(_("e-mail"), blank=True)
    family_name = models.CharField(_("family name"), max_length=64, blank=True)
    given_name = models.CharField(_("given name"), max_length=64, blank=True)
    prefix = models.CharField(_("title"), max_length=32, blank=True)
    is_active = models.BooleanField(_("active"), default=True)
    is_service = models.BooleanField(_("program"), default=False, help_text=_("Signs in by API key only."))
    roles = models.ManyToManyField(Role, blank=True, related_name="users", verbose_name=_("roles"))
    sites = models.ManyToManyField(
        Site, blank=True, related_name="users", verbose_name=_("sites"), help_text=_("None chosen: all sites.")
    )
    language = models.CharField(_("language"), max_length=8, blank=True)
    date_joined = models.DateTimeField(default=timezone.now, editable=False)
    version = models.PositiveIntegerField(default=0, editable=False)
    oidc_subject = models.CharField(max_length=255, blank=True, editable=False)

    history = HistoricalRecords(m2m_fields=[roles, sites], excluded_fields=["password", "last_login"])
    objects = UserManager()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: list[str] = []

    class Meta:
        verbose_name = _("user")
        ordering = ["username"]
        constraints = [
            models.CheckConstraint(condition=Q(is_superuser=False), name="no_superuser_in_a_facility"),
            models.UniqueConstraint(fields=["oidc_subject"], condition=~Q(oidc_subject=""), name="oidc_subject_once"),
            models.UniqueConstraint(Lower("username"), name="username_once_in_any_case"),
        ]

    def __str__(self) -> str:
        return self.display_name

    def save(self, *args, **kwargs) -> None:
        compare_before_save(self)
        self.version += 1
        if kwargs.get("update_fields") is not None:
            kwargs["update_fields"] = {*kwargs["update_fields"], "version"}
        super().save(*args, **kwargs)

    @property
    def display_name(self) -> str:
        name = " ".join(part for part in (self.prefix, self.given_name, self.family_name) if part)
        return name or self.username

    @property
    def initials(self) -> str:
        letters = [part[0] for part in (self.given_name, self.family_name) if part]
        return "".join(letters).upper() or self.username[:2].upper()

    @property
    def role_label(self) -> str:
        return ", ".join(sorted(str(role) for role in self.roles.all()))

    @functools.cached_property
    def role_names(self) -> frozenset[str]:
        return frozenset(role.name for role in self.roles.all())

    @functools.cached_property
    def permission_codes(self) -> frozenset[str]:
        codes = frozenset().union(*(role.codes for role in self.roles.all()))
        if permissions.IT_ADMIN in self.role_names:
            return codes - permissions.clinical_codes()
        return codes

    def may(self, code: str) -> bool:
        """Whether a role of theirs holds the right, or a break-glass of theirs lets them look."""
        if not self.is_active:
            return False
        if code in self.permission_codes:
            return True
        return code.split(".")[-1].startswith("view_") and self.breaks_glass

    @functools.cached_property
    def breaks_glass(self) -> bool:
        """it_admin sees clinical content only while a break-glass of theirs runs; it never signs or edits."""
        return permissions.IT_ADMIN in self.role_names and self.break_glasses.running().exists()

    @property
    def is_staff(self) -> bool:
        """Who may enter /admin/: everybody who works in the facility; what they see there is by right."""
        return self.is_active and not self.is_service

    def has_role(self, *names: str) -> bool:
        return bool(self.role_names & set(names))


class Practitioner(Recorded):
    """Somebody who requests, performs or reads exams, with or without a sign-in."""

    user = models.OneToOneField(
        User, null=True, blank=True, on_delete=models.PROTECT, related_name="practitioner", verbose_name=_("user")
    )
    family_name = models.CharField(_("family name"), max_length=64)
    given_name = models.CharField(_("given name"), max_length=64, blank=True)
    prefix = models.CharField(_("title"), max_length=32, blank=True)
    suffix = models.CharField(_("suffix"), max_length=32, blank=True)
    identifier = models.CharField(_("registration number"), max_length=64, blank=True)
    issuer = models.CharField(_("registered with"), max_length=64, blank=True)
    specialty = models.CharField(_("specialty"), max_length=100, blank=True)
    organisation = models.CharField(_("ward, clinic or practice"), max_length=100, blank=True)
    phone = models.CharField(_("phone"), max_length=40, blank=True)
    email = models.EmailField(_("e-mail"), blank=True)
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("practitioner")
        ordering = ["family_name", "given_name"]
        constraints = [
            models.UniqueConstraint(
                fields=["identifier", "issuer"], condition=~Q(identifier=""), name="practitioner_identifier_once"
            ),
        ]

    def __str__(self) -> str:
        return self.display_name

    @property
    def display_name(self) -> str:
        return " ".join(part for part in (self.prefix, self.given_name, self.family_name, self.suffix) if part)


class AccessionScope(models.TextChoices):
    ORDER = "order", _("One number per order")
    PROCEDURE = "procedure", _("One number per procedure")


class FacilitySettings(Recorded):
    """One row: what a facility decides for itself. Read through ``ris.accounts.selectors.facility_settings``."""

    patient_id_issuer = models.CharField(_("issuer of patient identifiers"), max_length=64, default="FACILITY")
    mrn_pattern = models.CharField(_("pattern of new MRNs"), max_length=40, default="{prefix}{seq:07}")
    mrn_prefix = models.CharField(_("prefix of new MRNs"), max_length=8, blank=True)
    mrn_syntax = models.CharField(
        _("what an MRN looks like"), max_length=100, default=r"[A-Za-z0-9][A-Za-z0-9./-]{0,31}"
    )
    accession_pattern = models.CharField(_("accession number pattern"), max_length=40, default="{yy}{doy:03}-{seq:06}")
    accession_scope = models.CharField(
        _("accession numbers"), max_length=10, choices=AccessionScope.choices, default=AccessionScope.PROCEDURE
    )
    idle_minutes = models.PositiveSmallIntegerField(_("screen locks after (minutes)"), default=15)
    reauthenticate_minutes = models.PositiveSmallIntegerField(_("signing asks again after (minutes)"), default=60)
    lockout_failures = models.PositiveSmallIntegerField(_("wrong passwords before a rest"), default=5)
    lockout_minutes = models.PositiveSmallIntegerField(_("length of the rest (minutes)"), default=15)
    withhold_blocked_steps = models.BooleanField(_("blocked steps are withheld from the worklist"), default=True)
    require_time_out = models.BooleanField(_("an exam is started by hand only after the time-out"), default=True)
    images_complete_after_seconds = models.PositiveIntegerField(
        _("images are complete after so much quiet (seconds)"), default=60
    )
    recall_minutes = models.PositiveSmallIntegerField(_("recall window before delivery (minutes)"), default=0)
    critical_minutes = models.JSONField(
        _("minutes to communicate, by category"), default=dict, blank=True, help_text=_("Empty: 30, 360, 10080.")
    )
    critical_link_asks = models.CharField(
        _("the link in an alert asks for"),
        max_length=8,
        choices=[("sign_in", _("the sign-in")), ("code", _("a code sent to the person's other address"))],
        default="sign_in",
    )
    critical_link_hours = models.PositiveSmallIntegerField(_("the link in an alert works for (hours)"), default=24)
    critical_goal = models.PositiveSmallIntegerField(_("critical results told in time, the goal (%)"), default=95)
    reminder_hours = models.PositiveSmallIntegerField(
        _("reminders go out before the appointment (hours)"), default=24, help_text=_("0: none are sent.")
    )
    sms_gateway_url = models.URLField(_("SMS gateway"), blank=True)
    sms_gateway_token = EncryptedTextField(_("SMS gateway token"), blank=True)
    email_from = models.EmailField(_("e-mails come from"), blank=True)
    allowed_hosts = ArrayField(
        models.CharField(max_length=255), default=list, blank=True, verbose_name=_("hosts we may connect to")
    )
    api_origins = ArrayField(
        models.CharField(max_length=255),
        default=list,
        blank=True,
        verbose_name=_("web pages that may use the REST interface (CORS)"),
        help_text=_("Origins such as https://portal.example.org, separated by commas. Empty: none."),
    )
    api_requests_per_minute = models.PositiveIntegerField(
        _("REST requests per minute and credential"), default=6000, help_text=_("0: no limit.")
    )
    viewer_notice = models.BooleanField(
        _("the viewer says that it is not for primary diagnosis"),
        default=True,
        help_text=_("Switch it off where calibrated displays are in use and the viewer has been accepted for reading."),
    )
    share_days = models.PositiveSmallIntegerField(_("a link for a patient works for (days)"), default=14)
    share_embargo_hours = models.PositiveSmallIntegerField(
        _("a patient sees a report after the doctors (hours)"),
        default=24,
        help_text=_("Counted from the signature, so that who asked for the exam can speak first. 0: at once."),
    )
    currency = models.CharField(_("currency"), max_length=3, default="KES")
    letterhead = models.TextField(_("letterhead"), blank=True)
    emergency_words = ArrayField(
        models.CharField(max_length=40),
        default=list,
        blank=True,
        verbose_name=_("names for unidentified patients"),
        help_text=_("Separated by commas, for example Amber-Heron. Empty: colours and birds."),
    )

    history = HistoricalRecords(excluded_fields=["sms_gateway_token"])

    class Meta:
        verbose_name = _("facility settings")
        verbose_name_plural = _("facility settings")
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="one_row_of_facility_settings")]

    def __str__(self) -> str:
        return str(_("Facility settings"))

    def save(self, *args, **kwargs) -> None:
        super().save(*args, **kwargs)
        forget()


class Sequence(models.Model):
    """Named counters of the facility: locked, never skipped backwards, never shared."""

    name = models.CharField(max_length=64, primary_key=True)
    value = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("counter")

    def __str__(self) -> str:
        return self.name


class TokenQuerySet(models.QuerySet):
    def usable(self) -> TokenQuerySet:
        now = timezone.now()
        return self.filter(
            Q(expires_at__isnull=True) | Q(expires_at__gt=now), revoked_at__isnull=True, user__is_active=True
        )


class ApiKey(PublicModel):
    """A program's credential: shown once, kept as a hash, with scopes and an end."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="api_keys")
    label = models.CharField(_("label"), max_length=100)
    prefix = models.CharField(max_length=12, unique=True, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    allowed_addresses = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    requests_per_minute = models.PositiveIntegerField(
        _("requests per minute"),
        null=True,
        blank=True,
        help_text=_("Empty: as the facility's settings say. 0: no limit."),
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    history = HistoricalRecords(excluded_fields=["digest", "last_used_at"])
    objects = TokenQuerySet.as_manager()

    class Meta:
        verbose_name = _("API key")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.label} ({self.prefix}…)"


class AccessToken(PublicModel):
    """A short-lived bearer token: opaque, kept as a hash, dead at sign-out."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="access_tokens")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = ArrayField(models.CharField(max_length=100), null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    authenticated_at = models.DateTimeField(default=timezone.now)

    objects = TokenQuerySet.as_manager()

    class Meta:
        verbose_name = _("access token")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"token of {self.user_id} until {self.expires_at:%H:%M}"


class TotpDevice(PublicModel):
    """An authenticator (RFC 6238: SHA-1, six digits, thirty seconds); one per person, secret kept encrypted."""

    user = models.OneToOneField(User, on_delete=models.PROTECT, related_name="totp_device")
    secret = EncryptedTextField()
    created_at = models.DateTimeField(auto_now_add=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    last_step = models.BigIntegerField(default=-1, help_text=_("A code counts once."))

    rows_may_be_deleted = True

    class Meta:
        verbose_name = _("authenticator")

    def __str__(self) -> str:
        return f"authenticator of {self.user_id}"


class RecoveryCode(models.Model):
    """Lets its owner in once when the authenticator is lost; kept as a hash."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="recovery_codes")
    digest = models.CharField(max_length=64)
    used_at = models.DateTimeField(null=True, blank=True)

    rows_may_be_deleted = True

    class Meta:
        verbose_name = _("recovery code")
        constraints = [models.UniqueConstraint(fields=["user", "digest"], name="recovery_code_once")]

    def __str__(self) -> str:
        return f"recovery code of {self.user_id}"


class OidcProvider(Recorded):
    """The facility's own identity provider (OpenID Connect)."""

    label = models.CharField(_("label on the sign-in page"), max_length=60)
    issuer = models.URLField(_("issuer"), unique=True)
    client_id = models.CharField(_("client id"), max_length=255)
    client_secret = EncryptedTextField(_("client secret"), blank=True)
    scopes = models.CharField(_("scopes"), max_length=200, default="openid profile email")
    roles_claim = models.CharField(_("claim that holds the roles"), max_length=100, default="roles")
    username_claim = models.CharField(_("claim that holds the user name"), max_length=100, default="preferred_username")
    creates_users = models.BooleanField(_("creates users at their first sign-in"), default=True)
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords(excluded_fields=["client_secret"])

    class Meta:
        verbose_name = _("identity provider")

    def __str__(self) -> str:
        return self.label


class OidcRoleMapping(PublicModel):
    """A value of the provider's roles claim, and the role it means here."""

    provider = models.ForeignKey(OidcProvider, on_delete=models.CASCADE, related_name="role_mappings")
    claim_value = models.CharField(_("value of the claim"), max_length=200)
    role = models.ForeignKey(Role, on_delete=models.PROTECT, related_name="+")

    rows_may_be_deleted = True

    class Meta:
        verbose_name = _("role mapping")
        constraints = [
            models.UniqueConstraint(fields=["provider", "claim_value", "role"], name="oidc_role_mapping_once"),
        ]

    def __str__(self) -> str:
        return f"{self.claim_value} -> {self.role}"


class BreakGlassQuerySet(models.QuerySet):
    def running(self) -> BreakGlassQuerySet:
        return self.filter(expires_at__gt=timezone.now(), ended_at__isnull=True)


class BreakGlass(PublicModel):
    """Access taken in an emergency: with a reason, for a while, told to those who watch over it.

    ``patient`` is a UUID because patients live above; none means clinical content as such (it_admin).
    """

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="break_glasses")
    patient = models.UUIDField(null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=500)
    started_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True, editable=False)

    history = HistoricalRecords()
    objects = BreakGlassQuerySet.as_manager()

    class Meta:
        verbose_name = _("break-glass access")
        verbose_name_plural = _("break-glass accesses")
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=~Q(reason=""), name="break_glass_has_a_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.user} at {self.started_at:%Y-%m-%d %H:%M}"
