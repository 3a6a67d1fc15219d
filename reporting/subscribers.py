"""Loaded by every process: what falls due here is known to every dispatcher; what happens below is followed."""

from __future__ import annotations

from django.db.models import Q

from orders.events import OrderChanged, PatientsMerged, PatientsUnmerged, ProcedureChanged, ProcedureStatusChanged
from orders.models import Order, RequestedProcedure
from reporting import escalation, follow_up_clock, reading_clock, releasing
from reporting.events import DeliveryPlanned, ReportAmended, ReportFinalized, ReportPreliminary
from reporting.models import CriticalResult, Report, ReportDelivery, ReportVersion, VersionKind
from reporting.services import carrying
from reporting.services.critical import BEAT, note_report_changed, note_unreached
from reporting.services.critical_alarm import ESCALATED, RAISED
from reporting.services.deliveries import TO_PEOPLE
from reporting.services.followups import follow_exam, follow_report
from reporting.services.notify import tell_images_moved
from reporting.services.reading import follow_order, follow_procedure
from reporting.services.search import follow_place, index_report
from ris.core.actor import SYSTEM
from ris.events.bus import subscribe
from ris.notifications.events import MessageFailed, MessageTried
from worklist.events import EvidenceMoved

__all__ = ["escalation", "follow_up_clock", "reading_clock", "releasing"]


@subscribe(EvidenceMoved, name="reporting.tell_images_moved")
def images_moved(event: EvidenceMoved) -> None:
    """Who wrote a report on images that were another exam's hears of it."""
    for procedure in RequestedProcedure.objects.filter(uuid__in=event.was_read).order_by("pk"):
        tell_images_moved(procedure, once=event.subject)


@subscribe(MessageFailed, name="reporting.note_unreached")
def message_failed(event: MessageFailed) -> None:
    """An alert that could not be sent must not be silent."""
    if event.template in (RAISED, ESCALATED):
        critical = CriticalResult.objects.filter(uuid=event.about).first()
        if critical is not None:
            note_unreached(critical, actor=BEAT)


carrying.register()


@subscribe(DeliveryPlanned, name="reporting.carry")
def delivery_planned(event: DeliveryPlanned) -> None:
    """E-mail and SMS are ours; the interfaces carry the rest."""
    if event.channel in TO_PEOPLE:
        rows = ReportDelivery.objects.select_related("rule", "recipient__user", "report", "report_version")
        delivery = rows.filter(uuid=event.delivery).first()
        if delivery is not None:
            carrying.carry(delivery)


@subscribe(MessageTried, name="reporting.follow_message")
def message_tried(event: MessageTried) -> None:
    """Every try of a result's message stands in the ledger."""
    carrying.follow_message(event)


@subscribe(ReportAmended, name="reporting.tell_changed")
def report_changed(event: ReportAmended) -> None:
    """Who was told of a critical result hears that its report was corrected or retracted."""
    if event.kind in (VersionKind.CORRECTION, VersionKind.RETRACTION):
        _tell_changed(event)


@subscribe(ReportFinalized, name="reporting.tell_replaced")
def report_replaced(event: ReportFinalized) -> None:
    """The same when the correction left in place of what was held."""
    if ReportVersion.objects.filter(uuid=event.report_version, kind=VersionKind.CORRECTION).exists():
        _tell_changed(event)


def _tell_changed(event: ReportAmended | ReportFinalized) -> None:
    report = Report.objects.filter(uuid=event.subject).first()
    if report is None:
        return
    of_report = Q(report=report) | Q(procedure__in=report.procedures.all())
    for critical in CriticalResult.objects.filter(of_report).distinct().order_by("pk"):
        note_report_changed(critical, version=event.version or 0, actor=BEAT)


# --- the reading list follows in the same commit


@subscribe(ProcedureStatusChanged, name="reporting.place_on_list", in_transaction=True)
def status_changed(event: ProcedureStatusChanged) -> None:
    procedure = RequestedProcedure.objects.filter(uuid=event.subject).select_related("order").first()
    if procedure is not None:
        follow_procedure(procedure, actor=SYSTEM)
        follow_exam(procedure)


@subscribe(OrderChanged, name="reporting.follow_order", in_transaction=True)
def order_changed(event: OrderChanged) -> None:
    order = Order.objects.filter(uuid=event.subject).first()
    if order is not None:
        follow_order(order, actor=SYSTEM)
        follow_place(Q(order=order))


@subscribe(ProcedureChanged, name="reporting.follow_exam", in_transaction=True)
def exam_changed(event: ProcedureChanged) -> None:
    procedure = RequestedProcedure.objects.filter(uuid=event.subject).select_related("order").first()
    if procedure is not None:
        follow_order(procedure.order, actor=SYSTEM)
        follow_place(Q(pk=procedure.pk))


@subscribe(PatientsMerged, name="reporting.words_of_merged", in_transaction=True)
@subscribe(PatientsUnmerged, name="reporting.words_of_unmerged", in_transaction=True)
def reports_moved(event: PatientsMerged | PatientsUnmerged) -> None:
    """Whoever searches finds them where their patient is now."""
    follow_place(Q(uuid__in=event.procedures))


# --- what was signed is found in the same commit, and what it recommends is due


def _words(event: ReportPreliminary | ReportFinalized | ReportAmended) -> None:
    report = Report.objects.filter(uuid=event.subject).first()
    if report is not None:
        index_report(report)
        follow_report(report)


@subscribe(ReportPreliminary, name="reporting.words_of_preliminary", in_transaction=True)
def preliminary_signed(event: ReportPreliminary) -> None:
    _words(event)


@subscribe(ReportFinalized, name="reporting.words_of_final", in_transaction=True)
def final_signed(event: ReportFinalized) -> None:
    _words(event)


@subscribe(ReportAmended, name="reporting.words_of_amended", in_transaction=True)
def amendment_signed(event: ReportAmended) -> None:
    _words(event)
