"""Reports and what hangs on them, as far as an actor may see them."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from django.apps import apps
from django.db import models
from django.db.models import Q
from django.utils import timezone

from orders.models import RequestedProcedure
from orders.querysets import few_patients, is_bound_to_own_orders, site_keys
from ris.core.actor import Actor

#: A reading lock whose holder gave no sign for so long is free; the draft stays.
LOCK_IDLE = timedelta(minutes=15)
WRITE_REPORT = "reporting.write_report"
MANAGE_VIEWERS = "reporting.manage_viewers"
SHARE_TEACHING = "reporting.share_teaching"


def _procedures(actor: Actor) -> models.QuerySet:
    return RequestedProcedure.objects.visible_to(actor).values("pk")


def _reports(actor: Actor) -> models.QuerySet:
    return apps.get_model("reporting", "Report").objects.visible_to(actor).values("pk")


def _standing() -> Q:
    """It has a signed version that was not recalled."""
    return Q(versions__isnull=False, versions__recall__isnull=True)


def _not_held() -> Q:
    """No recall window is open: what was signed is on its way."""
    return Q(held_until__isnull=True)


class ReportQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """Drafts are for those who write reports; all others see what was signed, referring physicians their own."""
        reports = self.filter(procedures__in=_procedures(actor)).distinct()
        if actor.user is not None and is_bound_to_own_orders(actor.user):
            signed = _standing() & ~Q(versions__kind="preliminary")
            reports = reports.filter(signed & _not_held() | Q(deliveries__recipient__user=actor.user))
        elif not actor.may(WRITE_REPORT):
            reports = reports.filter(_not_held(), _standing())
        return reports

    def for_display(self) -> Self:
        exams = RequestedProcedure.objects.select_related(
            "order__patient", "order__requester", "catalogue", "reading_item"
        )
        return self.select_related("signed_by", "preliminary_by", "author").prefetch_related(
            models.Prefetch("procedures", queryset=exams),
            "procedures__order__patient__identifiers",
            "procedures__order__patient__alert_rows",
            "versions__recall",
            "versions__co_signatures",
        )


class ReportVersionQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(report__in=_reports(actor))


class AssessmentQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(report__in=_reports(actor))

    def standing(self) -> Self:
        return self.filter(withdrawn_at__isnull=True)


class OfVersionQuerySet(models.QuerySet):
    """Rows that hang on a signed version."""

    def visible_to(self, actor: Actor) -> Self:
        return self.filter(report_version__report__in=_reports(actor))


class ViewerLaunchQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """One's own; everybody's for who looks after the links."""
        if actor.user is None or actor.may(MANAGE_VIEWERS):
            return self
        return self.filter(user=actor.user)

    def live(self) -> Self:
        return self.filter(revoked_at__isnull=True, expires_at__gt=timezone.now())


class ReadingLockQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(procedure__in=_procedures(actor))

    def live(self) -> Self:
        """Those whose holder was there in the last minutes."""
        return self.filter(heartbeat_at__gt=timezone.now() - LOCK_IDLE)


class SavedListQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """One's own, those of one's roles, and those shared with everybody."""
        if actor.user is None:
            return self
        mine = Q(role="") | Q(role__in=actor.user.role_names)
        return self.filter(Q(owner=actor.user) | (Q(owner__isnull=True) | Q(is_shared=True)) & mine)


class ReadingItemQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(procedure__in=_procedures(actor))


class ReadingReturnQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(procedure__in=_procedures(actor))

    def open(self) -> Self:
        return self.filter(closed_at__isnull=True)


class ContactAttemptQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(critical_result__procedure__in=_procedures(actor))


class OfCriticalQuerySet(models.QuerySet):
    """Rows that hang on a critical result."""

    def visible_to(self, actor: Actor) -> Self:
        return self.filter(critical_result__procedure__in=_procedures(actor))


class CriticalResultQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(procedure__in=_procedures(actor))

    def open(self) -> Self:
        return self.filter(status__in=("open", "communicated"))

    def overdue(self) -> Self:
        return self.filter(status="open", due_at__lt=timezone.now())


class ReportDeliveryQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        rows = self.filter(report__procedures__in=_procedures(actor)).distinct()
        if actor.user is not None and is_bound_to_own_orders(actor.user):
            rows = rows.filter(recipient__user=actor.user)
        return rows

    def unread(self) -> Self:
        return self.filter(Q(status="pending") | Q(status="sent") | Q(status="opened"))


class DeliveryAttemptQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(delivery__in=apps.get_model("reporting", "ReportDelivery").objects.visible_to(actor))


class OwnOrSharedQuerySet(models.QuerySet):
    """Templates and macros: one's own, and those that belong to nobody."""

    def visible_to(self, actor: Actor) -> Self:
        if actor.user is None:
            return self
        return self.filter(Q(owner=actor.user) | Q(owner__isnull=True))


class ReportTextQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(report__in=_reports(actor))

    def maybe_visible_to(self, actor: Actor) -> Self:
        """Of the patients and sites that an actor's role is bound to, by columns of this table alone.

        Whatever this finds is checked with ``Report.objects.visible_to`` before it is shown (restricted patients,
        drafts, recalled and held versions).
        """
        rows, patients, sites = self, few_patients(actor), site_keys(actor)
        if patients is not None:
            rows = rows.filter(patient__in=patients)
        return rows.filter(sites__overlap=[0, *sites]) if sites else rows


class SavedSearchQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """One's own, and those shared."""
        return self if actor.user is None else self.filter(Q(owner=actor.user) | Q(is_shared=True))


class FollowUpQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(procedure__in=_procedures(actor))

    def late(self) -> Self:
        return self.filter(status="due", due_on__lt=timezone.localdate())


class ShareLinkQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(report__in=_reports(actor))

    def live(self) -> Self:
        return self.filter(revoked_at__isnull=True, expires_at__gt=timezone.now())


class ShareAccessQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(link__report__in=_reports(actor))


class TeachingCaseQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """Shared ones. Others are for those who may see the report: the owner, and who shares what was offered."""
        if actor.user is None:
            return self
        near = Q(owner=actor.user)
        if actor.may(SHARE_TEACHING):
            near |= Q(offered_at__isnull=False) | Q(shared_by__isnull=False)
        return self.filter(Q(status="shared") | near & Q(report__in=_reports(actor)))


class TeachingImageQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.standing().filter(case__in=apps.get_model("reporting", "TeachingCase").objects.visible_to(actor))

    def standing(self) -> Self:
        return self.filter(removed_at__isnull=True)

    def shown(self) -> Self:
        return self.standing().filter(state="copied")
