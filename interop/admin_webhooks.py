"""Webhooks and their deliveries in the administration. Imported by interop.admin."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from interop import permissions as perms
from interop.models import Webhook, WebhookDelivery
from interop.webhooks import services
from ris.accounts.admin_base import FacilityModelAdmin, ReadOnlyAdmin, service_action
from ris.core.actor import Actor


class WebhookForm(forms.ModelForm):
    class Meta:
        model = Webhook
        fields = ("name", "url", "events", "is_active")
        help_texts = {"events": _("Separated by commas, for example report.* or order.created. * is everything.")}


@admin.register(Webhook)
class WebhookAdmin(FacilityModelAdmin):
    """The secret is shown once, in the message after it was made."""

    view_code, add_code, change_code = perms.VIEW_INTERFACES, perms.MANAGE_INTERFACES, perms.MANAGE_INTERFACES
    form = WebhookForm
    list_display = ("name", "url", "events", "is_active", "is_paused", "failures", "last_success_at", "last_error")
    list_filter = ("is_active", "is_paused")
    search_fields = ("name", "url")
    actions = (
        service_action(_("Send a test"), services.test_webhook),
        service_action(_("Pause"), services.pause_webhook),
        service_action(_("Resume"), services.resume_webhook),
    )

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> Webhook:
        return services.create_webhook(**cleaned, actor=actor)

    def service_change(self, webhook: Webhook, cleaned: dict[str, Any], actor: Actor) -> Webhook:
        return services.change_webhook(webhook, **cleaned, actor=actor)

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        secret = getattr(obj, "plain_secret", "")
        if secret:
            self.message_user(request, _("The secret, shown only now: %(secret)s") % {"secret": secret})


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_INTERFACES
    list_display = ("created_at", "webhook", "event", "status", "attempts", "delivered_at", "last_error")
    list_filter = ("status", "webhook", ("event", admin.AllValuesFieldListFilter))
    list_select_related = ("webhook",)
    search_fields = ("subject",)
    actions = (
        service_action(_("Send again"), services.deliver_again),
        service_action(_("Cancel"), services.drop_delivery),
    )
