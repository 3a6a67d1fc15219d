"""The referring physician's inbox, and the department's list of results that nobody has opened."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Case, Count, Exists, OuterRef, Q, QuerySet, When
from django.utils import timezone

from reporting.models import CriticalResult, DeliveryChannel, DeliveryStatus, ReportDelivery, VersionKind
from ris.accounts.models import Practitioner
from ris.core.actor import Actor
from ris.core.permissions import REFERRER

D = DeliveryStatus
UNREAD = (D.SENT, D.PENDING, D.OPENED)
CHANGED = (VersionKind.CORRECTION, VersionKind.ADDENDUM, VersionKind.RETRACTION)
#: After so many days without being opened a result goes onto the department's list.
UNOPENED_AFTER = timedelta(days=2)
BOXES = ("unread", "changed", "critical", "delegated", "read")


def _mine(actor: Actor) -> QuerySet[ReportDelivery]:
    rows = ReportDelivery.objects.visible_to(actor).filter(channel=DeliveryChannel.INBOX)
    alert = CriticalResult.objects.filter(procedure__reports=OuterRef("report"), status__in=("open", "communicated"))
    return rows.filter(recipient__user=actor.user).annotate(has_critical=Exists(alert))


def _box(name: str) -> Q:
    unread = Q(status__in=UNREAD, delegated_to__isnull=True)
    return {
        "unread": unread,
        "changed": unread & Q(report_version__kind__in=CHANGED),
        "critical": unread & Q(has_critical=True),
        "delegated": Q(status__in=UNREAD, delegated_to__isnull=False),
        "read": Q(status=D.ACKNOWLEDGED),
    }[name]


def inbox(*, actor: Actor, box: str = "unread") -> QuerySet[ReportDelivery]:
    """One's own results, the newest first; what was replaced by a newer version is not shown."""
    return (
        _mine(actor)
        .filter(_box(box if box in BOXES else "unread"))
        .select_related("report_version__report", "report", "recipient", "delegated_to")
        .prefetch_related("report__procedures__order__patient__identifiers", "report__procedures__catalogue")
        .order_by("-has_critical", "-pk")
    )


def inbox_counts(*, actor: Actor) -> dict[str, int]:
    pks = _mine(actor).values("pk")
    rows = ReportDelivery.objects.filter(pk__in=pks).annotate(
        has_critical=Exists(
            CriticalResult.objects.filter(procedure__reports=OuterRef("report"), status__in=("open", "communicated"))
        )
    )
    return rows.aggregate(**{name: Count("pk", filter=_box(name)) for name in BOXES})


def colleagues(recipient: Practitioner) -> QuerySet[Practitioner]:
    """Who can take a result over: those who sign in and get results, the own ward first."""
    same = Case(When(organisation=recipient.organisation, then=0), default=1)
    rows = Practitioner.objects.filter(is_active=True, user__is_active=True, user__roles__name=REFERRER)
    return rows.exclude(pk=recipient.pk).order_by(same, "family_name", "given_name").distinct()


def unopened_results(*, actor: Actor) -> QuerySet[ReportDelivery]:
    """The fail-safe list: results of the inbox or on paper that nobody has opened in time, the oldest first."""
    before = timezone.now() - UNOPENED_AFTER
    return (
        ReportDelivery.objects.visible_to(actor)
        .filter(status__in=(D.PENDING, D.SENT, D.FAILED), report_version__signed_at__lt=before)
        .exclude(report_version__kind=VersionKind.PRELIMINARY)
        .exclude(channel__in=(DeliveryChannel.EMAIL, DeliveryChannel.SMS), status=D.SENT, is_mandatory=False)
        .select_related("report_version__report", "report", "recipient__user")
        .prefetch_related("report__procedures__order__patient__identifiers")
        .order_by("report_version__signed_at", "pk")
    )
