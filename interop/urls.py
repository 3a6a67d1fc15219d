"""Addresses of the interfaces; each protocol brings its own."""

from __future__ import annotations

from django.urls import include, path

from interop.dicom import commitments, outgoing_pages
from interop.dicom import pages as dicom_pages
from interop.fhir import pages as fhir_pages
from interop.fhir.smart import views as smart
from interop.sources import pages as source_pages
from interop.web import archive
from interop.webhooks import pages as webhook_pages

urlpatterns = [
    path("", include("interop.web.urls")),
    path("", include("interop.imaging.urls")),
    path("dicomweb/", include("interop.dicomweb.urls")),
    *dicom_pages.urlpatterns,
    *commitments.urlpatterns,
    *outgoing_pages.urlpatterns,
    *archive.urlpatterns,
    *webhook_pages.urlpatterns,
    *source_pages.urlpatterns,
    *fhir_pages.urlpatterns,
    *smart.urlpatterns,
    path("", include("interop.fhir.urls")),
]
