"""Programs that come by SMART Backend Services: their keys, what they were given, the assertions they have used."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from ris.accounts.models import AccessToken, User
from ris.core.lifecycle import PublicModel, Recorded


class SmartClient(Recorded):
    """A program that signs its own requests for tokens. It acts as ``user`` and never further than that user may."""

    name = models.CharField(_("name"), max_length=100)
    client_id = models.CharField(_("client id"), max_length=64, unique=True)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", verbose_name=_("acts as"))
    scopes = ArrayField(
        models.CharField(max_length=100),
        default=list,
        verbose_name=_("scopes"),
        help_text=_("Separated by commas, for example system/Patient.rs, system/ServiceRequest.cruds."),
    )
    jwks = models.JSONField(
        _("public keys (JWKS)"), default=dict, blank=True, help_text=_("The JSON Web Key Set, public keys only.")
    )
    jwks_url = models.URLField(
        _("address of the keys"), max_length=300, blank=True, help_text=_("Asked only where no keys are kept here.")
    )
    fetched_keys = models.JSONField(default=dict, editable=False)
    fetched_at = models.DateTimeField(_("keys fetched at"), null=True, blank=True, editable=False)
    allowed_addresses = ArrayField(
        models.CharField(max_length=64),
        default=list,
        blank=True,
        verbose_name=_("may come from"),
        help_text=_("Addresses or networks, separated by commas. Empty: from anywhere."),
    )
    token_minutes = models.PositiveSmallIntegerField(
        _("a token works for (minutes)"), default=5, validators=[MinValueValidator(1), MaxValueValidator(60)]
    )
    is_active = models.BooleanField(_("active"), default=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True, editable=False)

    history = HistoricalRecords(excluded_fields=["fetched_keys", "fetched_at", "last_used_at"])

    class Meta:
        verbose_name = _("SMART client")
        ordering = ["name", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(token_minutes__gte=1, token_minutes__lte=60), name="smart_token_is_short_lived"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class SmartGrant(PublicModel):
    """Which client a token was given to, and with which scopes, in SMART's own words."""

    client = models.ForeignKey(SmartClient, on_delete=models.PROTECT, related_name="grants")
    token = models.OneToOneField(AccessToken, on_delete=models.PROTECT, related_name="smart_grant")
    scope = models.TextField()
    address = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("token of a SMART client")
        verbose_name_plural = _("tokens of SMART clients")
        ordering = ["-pk"]
        indexes = [models.Index(fields=["client", "-id"], name="smart_grant_client")]

    def __str__(self) -> str:
        return f"{self.client_id} {self.created_at:%Y-%m-%d %H:%M}"


class SmartAssertion(models.Model):
    """An assertion that has been used: its ``jti`` counts once until it is dead anyway."""

    client = models.ForeignKey(SmartClient, on_delete=models.CASCADE, related_name="+")
    digest = models.CharField(max_length=64)
    expires_at = models.DateTimeField(db_index=True)

    rows_may_be_deleted = True

    class Meta:
        verbose_name = _("used assertion")
        constraints = [models.UniqueConstraint(fields=["client", "digest"], name="smart_assertion_once")]

    def __str__(self) -> str:
        return f"{self.client_id} until {self.expires_at:%H:%M}"
