"""Who is told of a dose: people of the roles that the facility names for each kind of alert."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils.translation import gettext as _

from dose import permissions as perms
from dose.compliance import tab_of
from dose.models import AlertKind, DoseAlertRule, DoseTrigger, LevelAlert, SkinFollowUp, TriggerKind
from orders.models import Modality, RequestedProcedure
from ris.accounts.models import User
from ris.accounts.selectors import users_with_role
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidData
from ris.core.permissions import ROLES
from ris.notifications.models import Channel
from ris.notifications.services import notify_all
from worklist.models import PerformedProcedureStep


def tell(
    kind: str,
    *,
    modality: str,
    subject: str,
    template: str,
    url: str,
    context: dict[str, Any],
    also: Iterable[User] = (),
) -> int:
    """Everybody whom an active rule names, once; ``also``: who is concerned whatever the rules say."""
    told = 0
    rules = DoseAlertRule.objects.filter(kind=kind, is_active=True, modality__in=("", modality)).order_by("pk")
    message = {"template": template, "subject": subject, "url": url, "context": context}
    key = f"dose-{kind}:{subject}"
    for rule in rules:
        people = [user for user in users_with_role(rule.role) if user.may(perms.VIEW_DOSE)]
        told += len(notify_all(people, channels=[Channel(rule.channel)], dedupe_key=key, **message))
    people = [user for user in also if user.is_active and user.may(perms.VIEW_DOSE)]
    return told + len(notify_all(people, dedupe_key=key, **message))


def tell_of_level(alert: LevelAlert) -> int:
    return tell(
        AlertKind.DRL,
        modality=alert.exam.modality,
        subject=str(alert.uuid),
        template="dose.drl_exceeded",
        url=f"{reverse('dose_compliance')}?tab={tab_of(alert.exam.modality)}",
        context={"room": alert.room, "exam": alert.exam.name, "median": f"{alert.median:.4g}",
                 "limit": f"{alert.limit:g}", "unit": alert.unit, "patients": alert.patient_count},
    )  # fmt: skip


def tell_of_trigger(trigger: DoseTrigger) -> int:
    """Who performed the exam is asked as well."""
    is_pregnancy = trigger.kind == TriggerKind.PREGNANCY
    return tell(
        AlertKind.PREGNANCY if is_pregnancy else AlertKind.TRIGGER,
        modality=trigger.report.modality,
        subject=str(trigger.uuid),
        template="dose.pregnancy" if is_pregnancy else "dose.trigger",
        url=reverse("dose_report", args=[trigger.report.uuid]),
        context={"value": f"{trigger.value:.4g}", "limit": f"{trigger.limit:g}", "unit": trigger.unit},
        also=performers(trigger.report.procedure),
    )


def tell_of_skin(follow_up: SkinFollowUp) -> int:
    return tell(
        AlertKind.SKIN,
        modality=follow_up.report.modality,
        subject=str(follow_up.uuid),
        template="dose.skin",
        url=reverse("dose_alerts") + "#skin",
        context={"count": len(follow_up.reasons)},
    )


def performers(procedure: RequestedProcedure | None) -> list[User]:
    if procedure is None:
        return []
    steps = PerformedProcedureStep.objects.filter(scheduled_steps__procedure=procedure, performed_by__isnull=False)
    return list(User.objects.filter(pk__in=steps.values("performed_by")))


@service(perms.MANAGE_ALERTS, action=Action.CREATE)
def save_alert_rule(rule: DoseAlertRule | None = None, *, actor: Actor, **values: Any) -> DoseAlertRule:
    is_new = rule is None
    row = DoseAlertRule() if rule is None else DoseAlertRule.locked(rule.pk)
    for name in ("kind", "modality", "role", "channel", "is_active"):
        if values.get(name) is not None:
            setattr(row, name, values[name])
    allowed = {"kind": AlertKind.values, "modality": ["", *Modality.values], "role": ROLES, "channel": Channel.values}
    errors = {
        name: [_("Choose one of the list.")] for name, known in allowed.items() if getattr(row, name) not in known
    }
    if errors:
        raise InvalidData(_("This cannot be kept."), errors=errors)
    try:
        with transaction.atomic():
            row.save_as(actor, _("Added") if is_new else _("Changed"))
    except IntegrityError:
        words = _("There is such a rule already.")
        raise InvalidData(words, errors={"kind": [words]}) from None
    return row
