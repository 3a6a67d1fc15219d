"""The search box of every page: patients, accession numbers, phones; posted, so that no name stands in an address."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.cache import never_cache

from orders import permissions as perms
from orders import selectors
from orders.validation import fits_sh
from orders.web.patients import search_page
from ris.accounts.web import page


@never_cache
@page((perms.VIEW_PATIENT, perms.VIEW_ORDER))
def search(request: HttpRequest) -> HttpResponse:
    """Straight to the order of an accession number; else the patients that fit."""
    words = request.POST.get("q", "").strip()[:200] if request.method == "POST" else ""
    if words and fits_sh(words) and request.actor.may(perms.VIEW_ORDER):
        procedure = selectors.procedures(actor=request.actor).filter(accession_number__iexact=words).first()
        if procedure is not None:
            return HttpResponseRedirect(reverse("order_detail", args=[procedure.order.uuid]))
    return search_page(request, words)
