"""What is missing before an exam's papers are complete."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext as _

from orders.models import RequestedProcedure
from ris.accounts.selectors import facility_settings
from ris.core.actor import Actor
from ris.core.errors import InvalidTransition
from worklist.codes import MISSING
from worklist.models import ConsumableKind, ExamCompletion, ImagingStudy, PerformedProcedureStep
from worklist.services.screening import has_contrast, screening_states
from worklist.services.time_out import standing_time_out


def announced_images(steps: Iterable[PerformedProcedureStep]) -> int:
    """What the scanner says it made, over all its performed steps."""
    return len({uid for row in steps for uid in row.instance_uids})


def counted_images(procedure: RequestedProcedure) -> int | None:
    """What the technologist counted last."""
    row = procedure.image_counts.filter(withdrawn_at__isnull=True).order_by("-pk").first()
    return row.count if row is not None else None


def missing_of(procedure: RequestedProcedure) -> list[str]:
    """Keys of MISSING, in the order of the exam."""
    missing = []
    if facility_settings().require_time_out and standing_time_out(procedure) is None:
        missing.append("time_out")
    states = screening_states(procedure)
    if any(state.is_missing for state in states):
        missing.append("questions")
    if any(state.blocks for state in states):
        missing.append("block")
    given = list(procedure.consumables.filter(withdrawn_at__isnull=True, kind=ConsumableKind.CONTRAST))
    if has_contrast(procedure) and not given:
        missing.append("contrast")
    if any(not row.lot for row in given):
        missing.append("lot")
    return missing + _missing_images(procedure)


def _missing_images(procedure: RequestedProcedure) -> list[str]:
    """Nobody knows of an image; or what was made, by scanner or by hand, is not what is stored."""
    stored = sum(ImagingStudy.objects.filter(procedures=procedure).values_list("instance_count", flat=True))
    steps = PerformedProcedureStep.objects.filter(scheduled_steps__procedure=procedure).distinct()
    announced, counted = announced_images(steps), counted_images(procedure)
    if not stored and not announced and counted is None:
        return ["images"]
    told = announced or stored
    if (announced and stored < announced) or (counted is not None and told and counted != told):
        return ["count"]
    return []


def note_completion(
    procedure: RequestedProcedure, missing: list[str], explanation: str, actor: Actor
) -> ExamCompletion:
    row = ExamCompletion(
        procedure=procedure, missing=missing, explanation=explanation.strip()[:200], recorded_by=actor.user
    )
    row.save_as(actor, "Completed")
    return row


def refuse_incomplete(missing: list[str], explanation: str) -> None:
    """Whoever completes it all the same says why."""
    if not missing or explanation.strip():
        return
    names = ", ".join(str(MISSING[key]) for key in missing)
    raise InvalidTransition(
        _("Something is not written down yet."),
        asked=_("To complete the exam."),
        found=_("Missing: %(names)s.") % {"names": names},
        todo=_("Write it down, or say why it is missing."),
        errors={"explanation": _("Say why it is missing.")},
    )
