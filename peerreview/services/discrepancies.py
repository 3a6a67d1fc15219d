"""From a discrepancy to patient safety: the author adds to the report or says why not; the lead notes the end."""

from __future__ import annotations

from django.utils import timezone
from django.utils.translation import gettext as _

from peerreview import permissions as perms
from peerreview.events import DiscrepancyAnswered
from peerreview.models import Discrepancy, DiscrepancyStatus, Impact
from reporting import services as reporting
from reporting.models import VersionKind
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidData, NotPermitted
from ris.events.bus import publish

D = DiscrepancyStatus


def _of_author(discrepancy: Discrepancy, actor: Actor) -> Discrepancy:
    discrepancy = Discrepancy.locked(discrepancy.pk)
    if actor.user is None or actor.user.pk != discrepancy.case.report_version.signed_by_id:
        raise NotPermitted(
            _("Only the author answers a discrepancy."),
            todo=_("Talk to the author; the lead may note how it was resolved."),
        )
    return discrepancy


@service(perms.ANSWER_DISCREPANCY)
def addend_discrepancy(discrepancy: Discrepancy, *, text: str, actor: Actor) -> Discrepancy:
    """The author's addendum. Whoever has the old version is told as of any addendum; an alert where one was asked."""
    discrepancy = _of_author(discrepancy, actor)
    discrepancy.move_to(D.ADDENDED)
    report = reporting.add_addendum(discrepancy.case.report, text=text, actor=actor)
    discrepancy.addendum = report.versions.filter(kind=VersionKind.ADDENDUM).order_by("-number").first()
    discrepancy.answered_at = timezone.now()
    if discrepancy.critical_category is not None:
        discrepancy.critical_result = reporting.raise_critical_result(
            report.first_procedure,
            report=report,
            finding=text,
            category=discrepancy.critical_category,
            actor=actor,
        )
    discrepancy.save_as(actor, "Addendum")
    return _answered(discrepancy, actor)


@service(perms.ANSWER_DISCREPANCY)
def decline_discrepancy(discrepancy: Discrepancy, *, reason: str, actor: Actor) -> Discrepancy:
    """The author lets the report stand, and says why. The lead hears of it."""
    if not reason.strip():
        raise InvalidData(_("Say why there is no addendum."), errors={"reason": _("Needed.")})
    discrepancy = _of_author(discrepancy, actor)
    discrepancy.move_to(D.DECLINED)
    discrepancy.declined_reason, discrepancy.answered_at = reason.strip()[:500], timezone.now()
    discrepancy.save_as(actor, "No addendum")
    return _answered(discrepancy, actor)


def _answered(discrepancy: Discrepancy, actor: Actor) -> Discrepancy:
    publish(DiscrepancyAnswered(str(discrepancy.uuid), version=discrepancy.version), actor=actor)
    return discrepancy


@service(perms.MANAGE_ROUND)
def resolve_discrepancy(discrepancy: Discrepancy, *, resolution: str, impact: str = "", actor: Actor) -> Discrepancy:
    """How it ended, and what it did to the patient."""
    errors = {}
    if not resolution.strip():
        errors["resolution"] = _("Needed.")
    if impact and impact not in Impact.values:
        errors["impact"] = _("Choose one of the list.")
    if errors:
        raise InvalidData(_("The discrepancy cannot be resolved like this."), errors=errors)
    discrepancy = Discrepancy.locked(discrepancy.pk)
    if actor.user is not None and actor.user.pk == discrepancy.case.report_version.signed_by_id:
        raise NotPermitted(_("The author does not resolve their own discrepancy."), todo=_("Let a colleague do it."))
    discrepancy.move_to(D.RESOLVED)
    discrepancy.resolution, discrepancy.resolved_by = resolution.strip()[:500], actor.user
    discrepancy.impact = impact or discrepancy.impact
    discrepancy.save_as(actor, "Resolved")
    return discrepancy
