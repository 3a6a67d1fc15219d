"""What an act of reconciliation will do, in sentences, before anybody does it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from orders.models import RequestedProcedure
from orders.models.orders import OPEN_BEFORE_EXAM
from worklist.models import ImagingStudy, PerformedProcedureStep, PPSStatus, Reconciliation, ReconciliationKind
from worklist.services import completeness
from worklist.services.matching import Agreement, agreement
from worklist.services.reconciliation import evidence_of
from worklist.services.reconciliation_evidence import DOCUMENTATION, READ


@dataclass(frozen=True)
class Effect:
    """One sentence; ``tone`` and ``icon`` as the pages draw them."""

    words: str
    tone: str = "slate"
    icon: str = "arrow-right"


def of_link(
    target: RequestedProcedure, steps: Sequence[PerformedProcedureStep], studies: Sequence[ImagingStudy]
) -> list[Effect]:
    return [*_what_goes(target, steps, studies), *_what_target_becomes(target, steps, studies), _can_be_undone()]


def of_move(
    source: RequestedProcedure,
    target: RequestedProcedure,
    steps: Sequence[PerformedProcedureStep],
    studies: Sequence[ImagingStudy],
) -> list[Effect]:
    all_steps, all_studies = evidence_of(source)
    is_all = {row.pk for row in all_steps} <= {row.pk for row in steps} and {row.pk for row in all_studies} <= {
        row.pk for row in studies
    }
    found = _what_goes(target, steps, studies)
    written = sum(model._default_manager.filter(procedure=source).count() for model in DOCUMENTATION)
    if is_all and written:
        found.append(
            Effect(
                ngettext(
                    "%(n)s entry of the documentation (time-out, contrast, notes, rejects) goes along.",
                    "%(n)s entries of the documentation (time-out, contrast, notes, rejects) go along.",
                    written,
                )
                % {"n": written},
                icon="notes",
            )
        )
    if is_all:
        found.append(
            Effect(
                _("%(number)s is open again: on the worklist, without performed images, charges taken back.")
                % {"number": source.accession_number},
                "blue",
                "list",
            )
        )
    else:
        found.append(
            Effect(_("%(number)s keeps what is left of it.") % {"number": source.accession_number}, icon="list")
        )
    found += _what_target_becomes(target, steps, studies)
    found += _who_has_read(source)
    if any(agreement(target.order.patient, completeness.sent_of(row)) is Agreement.DIFFERS for row in studies):
        found.append(
            Effect(
                _("The images name another patient: archives are told to hide them (113038). Here they stay visible."),
                "amber",
                "alert-triangle",
            )
        )
    return [*found, _can_be_undone()]


def of_unlink(source: RequestedProcedure, study: ImagingStudy) -> list[Effect]:
    found = [
        Effect(
            _("The images leave %(number)s and wait under exceptions for a person.")
            % {"number": source.accession_number},
            icon="link-off",
        ),
        Effect(_("The status of the exam stays as it is.")),
        *_who_has_read(source),
    ]
    return [*found, _can_be_undone()]


def of_split(
    study: ImagingStudy, series: Sequence[Any], source: RequestedProcedure, target: RequestedProcedure | None
) -> list[Effect]:
    images = sum(row.instance_count for row in series)
    found = [
        Effect(
            _("%(series)s series with %(images)s images become a study of their own.")
            % {"series": len(series), "images": images},
            icon="cut",
        )
    ]
    if target is None:
        found.append(Effect(_("That study waits under exceptions until somebody says whose it is."), "amber"))
    else:
        found.append(Effect(_("It is linked to %(number)s.") % {"number": target.accession_number}, "green", "link"))
        found += _what_target_becomes(target, (), (study,))
    return [*found, *_who_has_read(source), _can_be_undone()]


def of_merge(study: ImagingStudy, into: ImagingStudy) -> list[Effect]:
    return [
        Effect(
            _("%(n)s series go into the other study; what still comes under the old UID follows them.")
            % {"n": study.series.count()},
            icon="git-merge",
        ),
        Effect(_("The files stay as they were sent.")),
        _can_be_undone(),
    ]


def of_undo(act: Reconciliation) -> list[Effect]:
    """What undoing would put back."""
    found = []
    if act.kind in (ReconciliationKind.MOVE, ReconciliationKind.LINK) and act.target is not None:
        found.append(
            Effect(
                _("%(number)s loses what this act gave it.") % {"number": act.target.accession_number}, icon="link-off"
            )
        )
    if act.source is not None:
        found.append(
            Effect(_("%(number)s gets back what it had.") % {"number": act.source.accession_number}, "green", "link")
        )
    if act.kind in (ReconciliationKind.SPLIT, ReconciliationKind.MERGE):
        found.append(Effect(_("The series go back to the study that they came from."), icon="arrow-back-up"))
    if act.changes.get("settled"):
        found.append(Effect(_("What was resolved by it waits for a person again."), "amber", "alert-triangle"))
    found.append(Effect(_("An exam that has gone on since keeps its way; otherwise it stands as before.")))
    return found


# --- sentences


def _what_goes(
    target: RequestedProcedure, steps: Sequence[PerformedProcedureStep], studies: Sequence[ImagingStudy]
) -> list[Effect]:
    images = sum(row.instance_count for row in studies)
    parts = []
    if steps:
        parts.append(ngettext("%(n)s performed step", "%(n)s performed steps", len(steps)) % {"n": len(steps)})
    if studies:
        parts.append(ngettext("%(n)s image", "%(n)s images", images) % {"n": images})
        parts.append(_("the dose with them"))
    facts = {"what": ", ".join(parts) or _("Nothing"), "number": target.accession_number}
    return [Effect(_("To %(number)s: %(what)s.") % facts, "green", "link")]


def _what_target_becomes(
    target: RequestedProcedure, steps: Sequence[PerformedProcedureStep], studies: Iterable[ImagingStudy]
) -> list[Effect]:
    if target.status not in OPEN_BEFORE_EXAM:
        return []
    number = {"number": target.accession_number}
    if any(step.status == PPSStatus.IN_PROGRESS for step in steps):
        return [Effect(_("%(number)s is then in progress, and off the worklist.") % number, "blue", "player-play")]
    return [Effect(_("%(number)s counts as performed then, and leaves the worklist.") % number, "blue", "check")]


def _who_has_read(source: RequestedProcedure) -> list[Effect]:
    if source.status not in READ:
        return []
    words = _("%(number)s was read with these images: its report is flagged, and who wrote it is told.")
    return [Effect(words % {"number": source.accession_number}, "red", "alert-octagon")]


def _can_be_undone() -> Effect:
    return Effect(_("It can be undone, and stays in the history of both exams."), icon="arrow-back-up")
