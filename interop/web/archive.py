"""/patients/…/archive/: what other archives have of a patient, and fetching it."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from interop.dicom.archives import archives, fetch_study, fetches_of, look_in_archives
from interop.permissions import QUERY_ARCHIVE
from orders.models import Patient
from orders.web.patients import patient_page
from ris.audit.service import record_read


@require_GET
@patient_page(QUERY_ARCHIVE)
def archive_page(request: HttpRequest, patient: Patient) -> HttpResponse:
    """Which archives there are, and what is being fetched. Looking is a step of its own: it leaves the house."""
    record_read(request.actor, QUERY_ARCHIVE, entity=patient, detail={"page": "archive"})
    return render(request, "interop/archive.html", _context(patient))


@require_POST
@patient_page(QUERY_ARCHIVE)
def archive_look(request: HttpRequest, patient: Patient) -> HttpResponse:
    answers = look_in_archives(patient, actor=request.actor)
    return render(request, "interop/archive.html", {**_context(patient), "answers": answers})


@require_POST
@patient_page(QUERY_ARCHIVE)
def archive_fetch(request: HttpRequest, patient: Patient) -> HttpResponse:
    asked = request.POST
    fetch_study(
        patient,
        ae_title=asked.get("archive", ""),
        study_instance_uid=asked.get("study", ""),
        actor=request.actor,
    )
    messages.success(request, _("It is being fetched."))
    return HttpResponseRedirect(reverse("archive_page", args=[patient.uuid]))


def _context(patient: Patient) -> dict[str, object]:
    return {"nav": "patients", "patient": patient, "archives": archives(), "fetches": fetches_of(patient)}


urlpatterns = [
    path("patients/<uuid:uuid>/archive/", archive_page, name="archive_page"),
    path("patients/<uuid:uuid>/archive/look/", archive_look, name="archive_look"),
    path("patients/<uuid:uuid>/archive/fetch/", archive_fetch, name="archive_fetch"),
]
