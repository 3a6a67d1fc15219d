"""The page of a report that one reads: the newest signed words, its state, signers and deliveries."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from reporting import permissions as perms
from reporting import selectors
from reporting.diff import section_diffs
from reporting.models import SECTIONS, Report, ReportStatus
from reporting.selectors.reports import attending_changes
from reporting.web.forms import ReasonForm
from reporting.web.proof import proof_context
from ris.accounts.web import ActorRequest


def detail_context(request: ActorRequest, report: Report, *, lock: Any = None) -> dict[str, Any]:
    """All but what surrounds a report. ``is_intact`` is False when the words are not those that were signed."""
    actor = request.actor
    versions, every = report.standing_versions, list(report.versions.all())
    current = versions[-1] if versions else None
    writes = actor.may(perms.WRITE_REPORT)
    is_draft_again = report.is_draft and writes
    texts = report.sections if current is None or is_draft_again else current.sections
    own_draft = report.is_draft or report.status == ReportStatus.PRELIMINARY
    mine = report.preliminary_by_id is not None and report.preliminary_by_id == request.user.pk
    signs, is_signer = actor.may(perms.SIGN_REPORT), report.signed_by_id == request.user.pk
    co_signers = list(current.co_signatures.all()) if current else []
    return {
        "nav": "reading",
        "report": report,
        "versions": every if writes else versions,
        "version": current,
        "is_intact": current is None or current.is_intact,
        "sections": [(key, label, texts.get(key, "")) for key, (_l, label) in SECTIONS.items() if texts.get(key)],
        "addenda": [row for row in versions if row.addendum],
        "recalled": [row for row in every if row.is_recalled] if writes else [],
        "co_signers": co_signers,
        "changes": attending_changes(report) if mine or writes else [],
        "is_unread_change": mine and report.is_signed and report.changes_seen_at is None and not is_signer,
        "latest_diffs": _latest(versions),
        "lock": lock,
        "lines": selectors.deliveries(actor=actor).filter(report=report).order_by("pk"),
        "seconds_to_recall": _seconds(report) if is_signer else 0,
        "may_send_now": report.is_held and signs,
        "may_co_sign": report.is_signed
        and signs
        and not is_signer
        and (current is None or current.signed_by_id != request.user.pk)
        and request.user.pk not in {row.signed_by_id for row in co_signers},
        "may_open": own_draft and lock is None and actor.may(perms.CLAIM_PROCEDURE),
        "may_take_over": own_draft and lock is not None and actor.may(perms.TAKE_OVER),
        "may_amend": report.is_signed and signs,
        "reason_form": ReasonForm(),
        **proof_context(request),
    }


def _latest(versions: list[Any]) -> list[Any]:
    """What the last correction changed."""
    if len(versions) < 2 or versions[-1].kind != "correction":
        return []
    return [row for row in section_diffs(versions[-2].sections, versions[-1].sections) if row.differs]


def _seconds(report: Report) -> int:
    """How long a signer may still take the signature back."""
    if report.held_until is None:
        return 0
    return max(0, int((report.held_until - timezone.now()).total_seconds()))
