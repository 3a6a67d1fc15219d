"""What rooms and scanners add to a downtime: lists per room, images that wait for their sheet, pages of the export."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from orders.downtime_parts import (
    ExportPage,
    ListRow,
    RoomList,
    Waiting,
    register_department,
    register_export,
)
from orders.events import DowntimeFormCorrected, DowntimeFormEntered
from orders.models import DowntimeForm, DowntimePeriod, Patient
from orders.services import downtime_plan
from ris.accounts.models import Site
from ris.core import text
from ris.core.actor import SYSTEM, Actor
from ris.core.vocabulary import status_look
from ris.events.bus import subscribe
from worklist import selectors
from worklist.events import ExceptionRaised
from worklist.models import (
    LIVE,
    OFFERED,
    ExceptionItem,
    ExceptionKind,
    Reservation,
    ReservationKind,
    Room,
    ScheduledProcedureStep,
    Station,
)
from worklist.services.downtime import correct_steps, match_late_images, replay_form

OF_NOBODY = (
    ExceptionKind.UNMATCHED_STUDY,
    ExceptionKind.PATIENT_DIFFERS,
    ExceptionKind.UNSCHEDULED_STEP,
    ExceptionKind.STEP_PATIENT_DIFFERS,
)


@subscribe(DowntimeFormEntered, name="worklist.replay_downtime_form", in_transaction=True)
def replay(event: DowntimeFormEntered) -> None:
    forms = DowntimeForm.objects.select_related("pack", "procedure", "entered_by")
    replay_form(forms.get(uuid=event.subject))


@subscribe(DowntimeFormCorrected, name="worklist.correct_downtime_steps", in_transaction=True)
def correct(event: DowntimeFormCorrected) -> None:
    correct_steps(DowntimeForm.objects.select_related("pack", "procedure", "corrected_by").get(uuid=event.subject))


@subscribe(ExceptionRaised, name="worklist.match_late_downtime_images")
def match_late(event: ExceptionRaised) -> None:
    """Images without an order, under the number of a sheet that has been entered for an exam of another number."""
    if event.kind != ExceptionKind.UNMATCHED_STUDY:
        return
    item = ExceptionItem.objects.open().select_related("study").filter(uuid=event.subject).first()
    if item is None or item.study is None:
        return
    under = Q(accession_number=item.study.accession_number) | Q(study_instance_uid=item.study.study_instance_uid)
    form = DowntimeForm.objects.select_related("pack", "procedure").filter(under, procedure__isnull=False).first()
    if form is not None:
        match_late_images(form, actor=SYSTEM)


def printed_name(patient: Patient, actor: Actor) -> str:
    """A restricted record is named on no paper that is made for everybody."""
    if patient.is_restricted and actor.user is None:
        return _("Restricted record")
    return text.person_name(patient)


def printed_about(patient: Patient) -> str:
    """Sex, birth date, number."""
    identifier = patient.primary_identifier
    born = text.day(patient.birth_date).replace(text.NBSP, " ") if patient.birth_date else ""
    return " · ".join(filter(None, (text.sex(patient.sex), born, identifier.value if identifier else "")))


def _warnings(patient: Patient) -> str:
    return "; ".join(row.text for row in patient.alert_rows.all() if row.is_active)


class WorklistDepartment:
    def stations(self) -> list[tuple[str, str]]:
        rows = Station.objects.filter(is_active=True).select_related("room").order_by("room__code", "ae_title")
        return [(row.ae_title, f"{row.room.name} · {row.ae_title}") for row in rows]

    def room_names(self, site: Site | None) -> list[str]:
        rows = Room.objects.filter(is_active=True)
        if site is not None:
            rows = rows.filter(Q(site=site) | Q(site__isnull=True))
        return list(rows.order_by("code").values_list("name", flat=True))

    def room_lists(self, days: list[date], *, site: Site | None, actor: Actor) -> list[RoomList]:
        """Every active room (of the site), every day: also the empty ones, so that nobody looks for a lost sheet."""
        rooms = selectors.rooms(actor=actor).filter(is_active=True)
        if site is not None:
            rooms = rooms.filter(Q(site=site) | Q(site__isnull=True))
        found = {(room.pk, day): RoomList(room.code, room.name, day) for room in rooms.order_by("code") for day in days}
        begin, end = _midnight(min(days)), _midnight(max(days) + timedelta(days=1))
        rows = (
            selectors.appointments(actor=actor)
            .filter(kind=ReservationKind.APPOINTMENT, status__in=LIVE, starts_at__gte=begin, starts_at__lt=end)
            .select_related("procedure__order__requester")
            .prefetch_related("procedure__order__patient__identifiers", "procedure__order__patient__alert_rows")
            .order_by("starts_at", "pk")
        )
        for row in rows:
            place = found.get((row.room_id, timezone.localtime(row.starts_at).date()))
            if place is not None:
                place.rows.append(_row(row, actor))
        return list(found.values())

    def waiting_in(self, period: DowntimePeriod) -> list[Waiting]:
        """Under a number of the period's forms, or made while it was down at a station of its site."""
        forms = {row.accession_number: row for row in period.forms.select_related("pack")}
        uids = {row.study_instance_uid: row for row in forms.values()}
        until = period.ended_at or timezone.now()
        days = (timezone.localtime(period.started_at).date(), timezone.localtime(until).date())
        numbered = Q(study__accession_number__in=forms) | Q(performed_step__accession_number__in=forms)
        numbered |= Q(study__study_instance_uid__in=uids) | Q(performed_step__study_instance_uid__in=uids)
        timed = (
            Q(study__study_date__range=days)
            | Q(study__first_received_at__range=(period.started_at, until))
            | Q(performed_step__started_at__range=(period.started_at, until))
        )
        if period.site_id:
            timed &= Q(station__room__site=period.site_id) | Q(station__room__site__isnull=True)
        items = _open_items().filter(numbered | timed)
        found = []
        for item in items:
            form = forms.get(_number_of(item)) or uids.get(_study_uid_of(item))
            if form is not None or period.started_at <= _moment_of(item) <= until:
                found.append(_waiting(item, form))
        return found

    def waiting_for(self, form: DowntimeForm) -> list[Waiting]:
        under = Q(study__accession_number=form.accession_number)
        under |= Q(study__study_instance_uid=form.study_instance_uid)
        under |= Q(performed_step__accession_number=form.accession_number)
        under |= Q(performed_step__study_instance_uid=form.study_instance_uid)
        return [_waiting(item, form) for item in _open_items().filter(under)]


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time()))


def _row(reservation: Reservation, actor: Actor) -> ListRow:
    assert reservation.procedure is not None
    procedure = reservation.procedure
    patient = procedure.order.patient
    requester = procedure.order.requester
    note = [_warnings(patient), procedure.contrast, procedure.order.transport, procedure.order.isolation]
    return ListRow(
        starts_at=reservation.starts_at,
        ends_at=reservation.ends_at,
        name=printed_name(patient, actor),
        about=printed_about(patient),
        exam=procedure.description_with_side,
        accession_number=procedure.accession_number,
        status=str(status_look(procedure.status).text),
        note=" · ".join(filter(None, (*note, requester.display_name if requester else ""))),
        patient=patient.uuid,
    )


def _open_items() -> Any:
    return (
        ExceptionItem.objects.open()
        .filter(kind__in=OF_NOBODY)
        .select_related("study", "performed_step", "station", "procedure")
        .order_by("pk")
    )


def _number_of(item: ExceptionItem) -> str:
    source = item.study or item.performed_step
    return source.accession_number if source is not None else ""


def _study_uid_of(item: ExceptionItem) -> str:
    source = item.study or item.performed_step
    return source.study_instance_uid if source is not None else ""


def _moment_of(item: ExceptionItem) -> datetime:
    """By the scanner's clock where it said, else when it came."""
    if item.performed_step is not None:
        return item.performed_step.started_at
    if item.study is None:
        return item.created_at
    study = item.study
    if study.study_date is not None and study.study_time is not None:
        return timezone.make_aware(datetime.combine(study.study_date, study.study_time))
    return study.first_received_at


def _waiting(item: ExceptionItem, form: DowntimeForm | None) -> Waiting:
    source = item.study or item.performed_step
    assert source is not None
    if item.study is not None:
        count = item.study.instance_count
        words = ngettext("%(count)d image, %(modality)s", "%(count)d images, %(modality)s", count)
        detail = words % {"count": count, "modality": item.study.modalities.replace("\\", ", ") or "–"}
    else:
        detail = _("Performed step at %(station)s") % {"station": item.performed_step.station_ae_title or "–"}
    return Waiting(
        what=str(item.get_kind_display()),
        at=_moment_of(item),
        accession_number=source.accession_number,
        name=source.patient_name.replace("^", " ").strip(),
        detail=detail,
        url=reverse("exception_detail", args=[item.uuid]),
        form=form.label if form is not None else "",
        patient_id=source.patient_id,
    )


# --- the read-only export


def schedule_pages() -> Iterable[ExportPage]:
    """A page per day with every room, for as many days as the plan says."""
    today = timezone.localdate()
    days = [today + timedelta(days=number) for number in range(downtime_plan().days_ahead)]
    lists = WorklistDepartment().room_lists(days, site=None, actor=SYSTEM)
    for day in days:
        rooms = [row for row in lists if row.day == day]
        count = sum(len(row.rows) for row in rooms)
        title = _("Schedule of %(day)s") % {"day": text.day(day).replace(text.NBSP, " ")}
        summary = ngettext("%(n)d appointment", "%(n)d appointments", count) % {"n": count}
        yield ExportPage(
            f"schedule-{day:%Y-%m-%d}", title, "worklist/downtime/schedule.html", {"rooms": rooms, "day": day}, summary
        )


def worklist_page() -> Iterable[ExportPage]:
    """What scanners are offered: with the numbers to be typed at the console."""
    today = timezone.localdate()
    until = _midnight(today + timedelta(days=downtime_plan().days_ahead))
    steps = (
        ScheduledProcedureStep.objects.for_display()
        .filter(status__in=OFFERED, starts_at__gte=_midnight(today), starts_at__lt=until)
        .defer("item")
        .order_by("starts_at", "pk")
    )
    rows = [
        {
            "step": step,
            "name": printed_name(step.procedure.order.patient, SYSTEM),
            "about": printed_about(step.procedure.order.patient),
            "warnings": _warnings(step.procedure.order.patient),
            "procedure": step.procedure,
            "station": step.station.ae_title if step.station else step.modality,
        }
        for step in steps
    ]
    yield ExportPage(
        "worklist",
        _("Worklist for the scanners"),
        "worklist/downtime/worklist.html",
        {"rows": rows},
        ngettext("%(n)d step", "%(n)d steps", len(rows)) % {"n": len(rows)},
    )


register_department(WorklistDepartment())
register_export("schedule", schedule_pages, order=10)
register_export("worklist", worklist_page, order=20)
