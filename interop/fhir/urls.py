"""Addresses of the FHIR server."""

from __future__ import annotations

from django.urls import re_path

from interop.fhir.server.views import FhirView

urlpatterns = [
    re_path(r"^fhir/(?P<release>r4|r5)(?:/(?P<path>.*))?$", FhirView.as_view(), name="fhir"),
]
