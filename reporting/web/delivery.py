"""The administrator's rules of delivery, and the desk's list of what waits for the printer."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from reporting import permissions as perms
from reporting.carriers import destination_names
from reporting.models import DeliveryChannel, DeliveryRule, MailForm, ReportDelivery
from reporting.services import delivery_rules as services
from reporting.services.printing import MOST_AT_ONCE, mark_printed, print_deliveries, waiting_for_print
from reporting.web.paper import pdf_response
from ris.accounts.models import Practitioner
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core.errors import AlreadyExists, InvalidData, NotKnown

HINTS = {
    DeliveryChannel.INBOX: gettext_lazy("Requesters who sign in get every final result here without any rule."),
    DeliveryChannel.HL7: gettext_lazy("ORU^R01 to an HL7 destination; its name, or empty for all that take reports."),
    DeliveryChannel.FHIR: gettext_lazy("DiagnosticReport with the PDF, put on a FHIR server; its name."),
    DeliveryChannel.EMAIL: gettext_lazy(
        "A link or the locked PDF; never a name. A practice's name and address, or empty: each requester's own address."
    ),
    DeliveryChannel.PRINT: gettext_lazy("The result waits on the print list; a tray or a practice as destination."),
    DeliveryChannel.SMS: gettext_lazy("Says only that a result is ready. Nobody acknowledges by it."),
}


class RuleForm(forms.Form):
    channel = forms.ChoiceField(label=gettext_lazy("Channel"), choices=DeliveryChannel.choices)
    destination = forms.CharField(
        label=gettext_lazy("Destination"),
        max_length=64,
        required=False,
        help_text=gettext_lazy("An HL7 destination, a FHIR server, or the name of a practice."),
    )
    requester = forms.ModelChoiceField(
        label=gettext_lazy("Only for this requester"),
        queryset=Practitioner.objects.none(),
        required=False,
        empty_label=gettext_lazy("All requesters"),
    )
    address = forms.CharField(
        label=gettext_lazy("E-mail address or mobile phone"),
        max_length=254,
        required=False,
        help_text=gettext_lazy("Of the practice. Empty keeps the one there is."),
    )
    mail_form = forms.ChoiceField(
        label=gettext_lazy("E-mails carry"),
        choices=MailForm.choices,
        required=False,
        help_text=gettext_lazy("A link is safer: the PDF's lock is only as good as the password."),
    )
    password = forms.CharField(
        label=gettext_lazy("Password agreed with the practice"),
        max_length=80,
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=gettext_lazy("Opens the PDF, or the link of who has no account. Tell it by phone. Empty keeps it."),
    )
    includes_copies = forms.BooleanField(label=gettext_lazy("Also to who gets copies"), required=False)
    includes_preliminary = forms.BooleanField(label=gettext_lazy("Preliminary reports too"), required=False)
    is_mandatory = forms.BooleanField(
        label=gettext_lazy("Must be acknowledged"),
        required=False,
        help_text=gettext_lazy("The result counts as distributed only when it was. Never by SMS or PDF."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        chosen = self.fields["requester"]
        assert isinstance(chosen, forms.ModelChoiceField)
        chosen.queryset = Practitioner.objects.filter(is_active=True).order_by("family_name", "given_name", "pk")


def _rule(request: ActorRequest, uuid: UUID) -> DeliveryRule:
    rule = services.delivery_rules(actor=request.actor).filter(uuid=uuid).first()
    if rule is None:
        raise NotKnown(_("There is no such rule in this facility."))
    return rule


@require_GET
@page(perms.MANAGE_DELIVERY_RULES)
def delivery_rules(request: ActorRequest) -> HttpResponse:
    """To whom results go, in words."""
    rows = [(rule, HINTS[DeliveryChannel(rule.channel)]) for rule in services.delivery_rules(actor=request.actor)]
    return render(request, "reporting/delivery_rules.html", {"nav": "delivery-rules", "rows": rows})


@require_http_methods(["GET", "POST"])
@page(perms.MANAGE_DELIVERY_RULES)
def delivery_rule_add(request: ActorRequest) -> HttpResponse:
    return _edit(request, None)


@require_http_methods(["GET", "POST"])
@page(perms.MANAGE_DELIVERY_RULES)
def delivery_rule_change(request: ActorRequest, uuid: UUID) -> HttpResponse:
    return _edit(request, _rule(request, uuid))


def _edit(request: ActorRequest, rule: DeliveryRule | None) -> HttpResponse:
    kept = ("channel", "destination", "requester", "mail_form", "includes_copies", "includes_preliminary")
    initial: dict[str, Any] = {"is_mandatory": rule.is_mandatory if rule is not None else True}
    if rule is not None:
        initial.update({name: getattr(rule, name) for name in kept})
    form = RuleForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            services.save_delivery_rule(rule, **form.cleaned_data, actor=request.actor)
        except (AlreadyExists, InvalidData) as refusal:
            for name, words in refusal.errors.items():
                form.add_error(name if name in form.fields else None, words)
        else:
            messages.success(request, _("The rule is kept. It holds from the next signature on."))
            return HttpResponseRedirect(reverse("delivery_rules"))
    context = {
        "nav": "delivery-rules",
        "form": form,
        "rule": rule,
        "hints": [(channel.label, HINTS[channel]) for channel in DeliveryChannel],
        "hl7": destination_names(DeliveryChannel.HL7),
        "fhir": destination_names(DeliveryChannel.FHIR),
    }
    return render(request, "reporting/delivery_rule_edit.html", context, status=200 if not form.errors else 422)


@require_POST
@page(perms.MANAGE_DELIVERY_RULES)
def delivery_rule_switch(request: ActorRequest, uuid: UUID) -> HttpResponse:
    rule = services.switch_delivery_rule(
        _rule(request, uuid), is_active=request.POST.get("is_active") == "1", actor=request.actor
    )
    messages.success(request, _("The rule is on.") if rule.is_active else _("The rule is off."))
    return HttpResponseRedirect(reverse("delivery_rules"))


@require_POST
@page(perms.MANAGE_DELIVERY_RULES)
def delivery_rule_try(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """A test that holds no result."""
    words = services.try_delivery_rule(_rule(request, uuid), to=request.POST.get("to", ""), actor=request.actor)
    messages.success(request, words)
    return HttpResponseRedirect(reverse("delivery_rules"))


# --- on paper


@require_GET
@page(perms.MANAGE_DELIVERY)
def print_queue(request: ActorRequest) -> HttpResponse:
    """What waits for the printer, the oldest first."""
    lines = list(waiting_for_print(actor=request.actor)[:MOST_AT_ONCE])
    patients = sorted({row.audit_patient for row in lines if row.audit_patient})
    record_read(request.actor, perms.MANAGE_DELIVERY, patients=patients, detail={"rows": len(lines), "page": "print"})
    context = {"nav": "results", "lines": lines, "most": MOST_AT_ONCE}
    return render(request, "reporting/print_queue.html", context)


def _chosen(request: ActorRequest) -> list[ReportDelivery]:
    asked = request.POST.getlist("line")
    lines = [row for row in waiting_for_print(actor=request.actor) if str(row.uuid) in asked]
    if not lines:
        raise InvalidData(_("Choose what is to be printed."), errors={"line": _("Nothing is chosen that waits.")})
    return lines


@require_POST
@page(perms.MANAGE_DELIVERY)
def print_queue_pdf(request: ActorRequest) -> HttpResponse:
    """The chosen results as one PDF; they wait on until marked as printed."""
    body = print_deliveries(_chosen(request), actor=request.actor)
    return pdf_response(body, f"results-{timezone.now():%Y%m%d-%H%M}")


@require_POST
@page(perms.MANAGE_DELIVERY)
def print_queue_done(request: ActorRequest) -> HttpResponse:
    count = mark_printed(_chosen(request), actor=request.actor)
    messages.success(request, _("Noted as printed: %(count)d.") % {"count": count})
    return HttpResponseRedirect(reverse("print_queue"))
