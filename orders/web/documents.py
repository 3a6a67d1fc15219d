"""Papers of an order and of its patient: added, saved to disk, withdrawn."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from orders import permissions as perms
from orders import selectors, services
from orders.models import Document
from orders.services.documents import download_name
from orders.web.actions import checked, labelled, local
from orders.web.forms import DocumentForm, WithdrawForm
from ris.accounts.web import page
from ris.audit.service import record_read
from ris.core.errors import NotKnown

#: The file is data: not a page of ours, not guessed at, not shown inside anything.
INERT = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def document_or_404(request: HttpRequest, uuid: UUID) -> Document:
    found = selectors.documents(actor=request.actor).filter(uuid=uuid).first()
    if found is None:
        raise NotKnown(_("There is no such document."))
    return found


@require_POST
@never_cache
@page(perms.ADD_DOCUMENT)
def order_document_add(request: HttpRequest, uuid: UUID) -> HttpResponse:
    order = selectors.orders(actor=request.actor).filter(uuid=uuid).first()
    if order is None:
        raise NotKnown(_("There is no such order."), todo=_("Search for the patient or the accession number."))
    form, asked = DocumentForm(request.POST, request.FILES), _("To add a document.")
    data = checked(form, asked)
    with labelled(form, asked):
        services.add_document(order.patient, order=order, **data, actor=request.actor)
    messages.success(request, _("The document is kept."))
    return HttpResponseRedirect(reverse("order_detail", args=[order.uuid]) + "#documents")


@never_cache
@page(perms.VIEW_DOCUMENT)
def document_content(request: HttpRequest, uuid: UUID) -> FileResponse:
    """The file, to be kept or looked at; never run as a page."""
    document = document_or_404(request, uuid)
    record_read(request.actor, perms.VIEW_DOCUMENT, entity=document)
    response = FileResponse(
        document.file.open("rb"),
        content_type=document.content_type,
        as_attachment=True,
        filename=download_name(document),
    )
    for name, value in INERT.items():
        response[name] = value
    return response


@require_POST
@never_cache
@page(perms.ADD_DOCUMENT)
def document_withdraw(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """It belongs to somebody else, or is of no use."""
    document = document_or_404(request, uuid)
    data = checked(WithdrawForm(request.POST), _("To withdraw a document."))
    services.withdraw_document(document, **data, actor=request.actor)
    messages.success(request, _("The document is withdrawn. It is kept, and no longer shown."))
    back = reverse("patient_detail", args=[document.patient.uuid]) + "#documents"
    return HttpResponseRedirect(local(request.POST.get("next", ""), back))
