"""What matches nothing by its numbers is scored against what is planned; one clear match links itself."""

from __future__ import annotations

from django.utils.translation import gettext as _

from ris.audit.service import service
from ris.core.actor import Actor
from worklist import permissions as perms
from worklist.data import Candidate
from worklist.models import ExceptionItem, ExceptionKind
from worklist.services.exceptions import evidence_of_item
from worklist.services.reconciliation import link_evidence
from worklist.services.reconciliation_scoring import Said, candidates

#: Never PATIENT_DIFFERS: what names an exam by UID or accession number and another patient waits for a person.
LINKS_ITSELF = (ExceptionKind.UNMATCHED_STUDY, ExceptionKind.UNSCHEDULED_STEP)


@service(perms.RESOLVE_EXCEPTION)
def link_if_certain(item: ExceptionItem, *, actor: Actor) -> ExceptionItem:
    """Score it, write down how it stands, and link it when the best candidate is beyond doubt. Said again: nothing."""
    thing = item.study or item.performed_step
    if item.resolved_at is not None or thing is None or item.procedure_id or item.detail.get("score") is not None:
        return item
    steps, studies = evidence_of_item(item)
    is_linked = any(row.procedures.exists() for row in studies) or any(row.scheduled_steps.exists() for row in steps)
    if is_linked or item.detail.get("unlinked") or item.detail.get("split"):
        return item
    found = candidates(Said.of(thing), actor=actor)
    best = next(iter(found), None)
    item = ExceptionItem.locked(item.pk)
    item.detail = {**item.detail, "score": best.percent if best else 0, "candidates": len(found)}
    item.save_as(actor, "Scored")
    if best is not None and best.is_certain:
        link_evidence(
            best.procedure, steps=steps, studies=studies, reason=_in_words(best), actor=actor, score=best.score
        )
        item.refresh_from_db()
    return item


def _in_words(best: Candidate) -> str:
    return _("Linked by itself (%(percent)s %%): %(reasons)s") % {
        "percent": best.percent,
        "reasons": ", ".join(best.reasons),
    }
