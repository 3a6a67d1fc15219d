"""``{% viewer_setup as viewer %}``: what templates/reporting/_viewer.html needs, from the page's own context."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context

from reporting.selectors import viewer as selectors
from ris.accounts.actors import actor_of
from ris.accounts.selectors import facility_settings
from ris.audit.service import record_read
from worklist.models import ImagingStudy
from worklist.permissions import VIEW_STUDY

register = template.Library()


@register.simple_tag(takes_context=True)
def viewer_setup(context: Context) -> dict[str, Any] | None:
    """From ``viewer_studies``, else the studies of ``procedures``; None when the person may see no images."""
    request = context["request"]
    actor = actor_of(request)
    if not actor.may(VIEW_STUDY):
        return None
    given: list[ImagingStudy] | None = context.get("viewer_studies")
    studies = given if given is not None else selectors.studies_of_procedures(context["procedures"], actor=actor)
    patient = context.get("patient")
    for study in studies:
        record_read(actor, VIEW_STUDY, entity=study, detail={"page": "viewer"})
    report = context.get("report")
    return {
        "data": {
            **selectors.viewer_data(studies, selectors.other_studies(studies, patient, actor=actor)),
            "report": str(report.uuid) if report else "",
            "patient": str(patient.uuid) if patient else "",
        },
        "first": studies[0] if studies else None,
        "links": list(selectors.viewer_links()) if studies else [],
        "notice": facility_settings().viewer_notice,
    }
