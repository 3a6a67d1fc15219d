"""Downtime: packs of forms with reserved numbers, what becomes of each sheet, since when and until when it was down."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from orders import permissions as perms
from orders.downtime_lists import ClosingList, closing_list
from orders.models import DowntimeForm, DowntimePack, DowntimePeriod, DowntimePlan, FormStatus, PeriodStatus
from orders.services.accession import reserve_accession_numbers
from orders.validation import Errors, short_string
from ris.accounts.models import Site
from ris.accounts.sequences import next_value
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidData, InvalidTransition
from ris.core.ids import new_uid

MOST_FORMS = 200
SETTABLE = (
    "forms_per_pack",
    "language",
    "contacts",
    "instructions",
    "is_nightly",
    "night_hour",
    "nights_kept",
    "days_ahead",
    "report_days",
)
LIMITS = {
    "forms_per_pack": (1, MOST_FORMS),
    "night_hour": (0, 23),
    "nights_kept": (1, 90),
    "days_ahead": (1, 14),
    "report_days": (0, 90),
}


def downtime_plan() -> DowntimePlan:
    """The facility's one row, made on the first ask."""
    row = DowntimePlan.objects.filter(pk=1).first()
    return row if row is not None else DowntimePlan.objects.get_or_create(pk=1)[0]


@service(perms.DECLARE_DOWNTIME)
def change_downtime_plan(*, actor: Actor, **values: object) -> DowntimePlan:
    """Raises InvalidData with the field that is wrong."""
    downtime_plan()
    plan = DowntimePlan.locked(1)
    errors = Errors()
    for name, value in values.items():
        low, high = LIMITS.get(name, (None, None))
        if name not in SETTABLE:
            errors.add(name, _("This cannot be set."))
        elif low is not None and high is not None and not (isinstance(value, int) and low <= value <= high):
            errors.add(name, _("Give a number from %(low)d to %(high)d.") % {"low": low, "high": high})
        elif name == "language" and value not in ("en", "sw"):
            errors.add(name, _("The paper is in English or Swahili."))
    errors.raise_if_any(_("The downtime plan was not changed."))
    if values.get("night_hour", plan.night_hour) != plan.night_hour:
        plan.next_night_at = None
    for name, value in values.items():
        setattr(plan, name, value)
    plan.save_as(actor, _("Changed"))
    return plan


# --- packs


@service(perms.PRINT_DOWNTIME, action=Action.CREATE)
def make_downtime_pack(
    *,
    site: Site | None = None,
    room: str = "",
    count: int | None = None,
    language: str = "",
    is_nightly: bool = False,
    actor: Actor,
) -> DowntimePack:
    """Reserve numbers for so many forms (the plan's, when nobody says). Their numbers are never given to others."""
    plan = downtime_plan()
    errors = Errors()
    count = plan.forms_per_pack if count is None else count
    if not 1 <= count <= MOST_FORMS:
        errors.add("count", _("A pack has 1 to %(most)d forms.") % {"most": MOST_FORMS})
    language = language or plan.language
    if language not in ("en", "sw"):
        errors.add("language", _("The paper is in English or Swahili."))
    room = short_string(room, "room", errors, length=64)
    errors.raise_if_any(_("The pack was not made."))
    pack = DowntimePack(
        number=next_value("downtime_pack"),
        site=site,
        room=room,
        language=language,
        is_nightly=is_nightly,
        form_count=count,
        made_by=actor.user,
    )
    pack.save_as(actor, _("Made"))
    numbers = reserve_accession_numbers(count, reserved_for=f"downtime {pack.code}")
    for number, accession_number in enumerate(numbers, 1):
        form = DowntimeForm(pack=pack, number=number, accession_number=accession_number, study_instance_uid=new_uid())
        form.save_as(actor, _("Number reserved"))
    return pack


@service(perms.PRINT_DOWNTIME)
def note_pack_printed(pack: DowntimePack, *, actor: Actor) -> DowntimePack:
    """It is on paper now; the second print says so on each sheet."""
    pack = DowntimePack.locked(pack.pk)
    pack.print_count += 1
    pack.printed_at = timezone.now()
    pack.save_as(actor, _("Printed"))
    return pack


def ensure_night_pack(site: Site | None, *, actor: Actor) -> DowntimePack:
    """The site's pack of the night: the newest one whose forms are all untouched, else a new one."""
    packs = DowntimePack.objects.filter(site=site, is_nightly=True, print_count=0).order_by("-pk")
    for pack in packs[:3]:
        if pack.form_count == downtime_plan().forms_per_pack and not pack.forms.exclude(status="printed").exists():
            return pack
    return make_downtime_pack(site=site, is_nightly=True, actor=actor)


# --- sheets


def _reason(reason: str) -> str:
    errors = Errors()
    reason = short_string(reason, "reason", errors, length=200, required=True)
    errors.raise_if_any(_("This needs a reason."))
    return reason


def _locked(form: DowntimeForm) -> DowntimeForm:
    row = DowntimeForm.locked(form.pk)
    row.pack = form.pack
    return row


def _not_from_here(form: DowntimeForm, asked: str, todo: str) -> InvalidTransition:
    return InvalidTransition(
        _("That cannot be done with this form."),
        asked=asked,
        found=_("Form %(label)s: %(status)s.") % {"label": form.label, "status": form.get_status_display()},
        todo=todo,
    )


@service(perms.ENTER_DOWNTIME)
def void_downtime_form(form: DowntimeForm, *, reason: str, actor: Actor) -> DowntimeForm:
    """Spoilt, lost, or written for nobody. Its number is never used again. Asked twice, nothing changes."""
    reason = _reason(reason)
    form = _locked(form)
    if form.status == FormStatus.VOID:
        return form
    if not form.is_open:
        raise _not_from_here(form, _("To make it void."), _("An entered form is an exam: cancel the exam instead."))
    form.move_to(FormStatus.VOID)
    form.void_reason = reason
    form.save_as(actor, reason)
    return form


@service(perms.ENTER_DOWNTIME)
def restore_downtime_form(form: DowntimeForm, *, actor: Actor) -> DowntimeForm:
    """The sheet has turned up after all: back to where it was before it was made void."""
    form = _locked(form)
    if form.status != FormStatus.VOID:
        raise _not_from_here(form, _("To take it back."), _("Only a void form is taken back."))
    is_out = form.period is not None and form.period.status != PeriodStatus.CLOSED
    form.move_to(FormStatus.ISSUED if is_out else FormStatus.PRINTED)
    form.period = form.period if is_out else None
    form.void_reason = ""
    form.save_as(actor, _("Turned up"))
    return form


@service(perms.ENTER_DOWNTIME)
def return_blank_form(form: DowntimeForm, *, actor: Actor) -> DowntimeForm:
    """Nobody wrote on it: back into the drawer, for the next time."""
    period = DowntimePeriod.locked(form.period_id) if form.period_id else None
    form = _locked(form)
    if form.status == FormStatus.PRINTED:
        return form
    if form.status != FormStatus.ISSUED or period is None:
        raise _not_from_here(form, _("To put it back blank."), _("Only a form that is out goes back blank."))
    form.move_to(FormStatus.PRINTED)
    form.period = None
    form.save_as(actor, _("Came back blank"))
    period.blank_count += 1
    period.save_as(actor, _("A form came back blank"))
    return form


def _chosen(pack: DowntimePack, first: int, last: int, status: str) -> list[DowntimeForm]:
    if not 1 <= first <= last <= pack.form_count:
        words = _("This pack has forms 1 to %(last)d.") % {"last": pack.form_count}
        raise InvalidData(words, errors={"first": words})
    rows = pack.forms.filter(number__range=(first, last), status=status).order_by("number")
    return list(rows.select_related("pack", "period"))


@service(perms.ENTER_DOWNTIME)
def void_downtime_forms(pack: DowntimePack, *, first: int, last: int, reason: str, actor: Actor) -> list[DowntimeForm]:
    """Every form from ``first`` to ``last`` that nobody has entered."""
    reason = _reason(reason)
    rows = [*_chosen(pack, first, last, FormStatus.PRINTED), *_chosen(pack, first, last, FormStatus.ISSUED)]
    return [void_downtime_form(row, reason=reason, actor=actor) for row in rows]


@service(perms.ENTER_DOWNTIME)
def return_blank_forms(pack: DowntimePack, *, first: int, last: int, actor: Actor) -> list[DowntimeForm]:
    """Every form from ``first`` to ``last`` that is out goes back into the drawer."""
    return [return_blank_form(row, actor=actor) for row in _chosen(pack, first, last, FormStatus.ISSUED)]


# --- the time it was down


@service(perms.DECLARE_DOWNTIME, action=Action.CREATE)
def declare_downtime(
    *,
    reason: str,
    started_at: datetime | None = None,
    site: Site | None = None,
    packs: Iterable[DowntimePack] = (),
    actor: Actor,
) -> DowntimePeriod:
    """Say since when it is down, while it is or afterwards; the packs that were taken out are to come back."""
    reason = _reason(reason)
    moment = timezone.now()
    started_at = started_at or moment
    if started_at > moment:
        words = _("A downtime begins now or earlier.")
        raise InvalidData(words, errors={"started_at": words})
    _refuse_second(site)
    period = DowntimePeriod(site=site, reason=reason, started_at=started_at, declared_by=actor.user)
    try:
        with transaction.atomic():
            period.save_as(actor, reason)
    except IntegrityError:
        _refuse_second(site)
        raise
    for pack in packs:
        _issue(period, pack, actor)
    return period


def _refuse_second(site: Site | None) -> None:
    running = DowntimePeriod.objects.filter(site=site, status=PeriodStatus.DECLARED).first()
    if running is not None:
        raise Conflict(
            _("A downtime is declared already."),
            asked=_("To declare a downtime."),
            found=_("One runs since %(when)s.") % {"when": f"{timezone.localtime(running.started_at):%d.%m.%Y %H:%M}"},
            todo=_("End that one first."),
        )


@service(perms.ENTER_DOWNTIME)
def issue_downtime_pack(period: DowntimePeriod, *, pack: DowntimePack, actor: Actor) -> DowntimePeriod:
    """Its forms were taken out in that time: each must come back, entered, void or blank."""
    period = DowntimePeriod.locked(period.pk)
    if period.status == PeriodStatus.CLOSED:
        raise InvalidTransition(
            _("This downtime is closed."),
            asked=_("To give out a pack."),
            found=_("It was closed; nothing of it is open."),
            todo=_("Declare another downtime for it."),
        )
    _issue(period, pack, actor)
    return period


def _issue(period: DowntimePeriod, pack: DowntimePack, actor: Actor) -> None:
    forms = list(
        DowntimeForm.objects.select_for_update(of=("self",))
        .filter(pack=pack, status=FormStatus.PRINTED)
        .order_by("number")
    )
    if not forms and not pack.forms.filter(period=period).exists():
        raise Conflict(
            _("There is nothing in this pack to give out."),
            asked=_("To give out pack %(pack)s.") % {"pack": pack.code},
            found=_("None of its forms lies in the drawer."),
            todo=_("Choose another pack."),
        )
    for form in forms:
        form.pack = pack
        form.move_to(FormStatus.ISSUED)
        form.period = period
        form.save_as(actor, _("Given out"))


@service(perms.DECLARE_DOWNTIME)
def end_downtime(period: DowntimePeriod, *, ended_at: datetime | None = None, actor: Actor) -> DowntimePeriod:
    """It works again; what was done on paper is now to be entered."""
    period = DowntimePeriod.locked(period.pk)
    moment = timezone.now()
    ended_at = ended_at or moment
    if period.status == PeriodStatus.ENDED and period.ended_at == ended_at:
        return period
    if not period.started_at <= ended_at <= moment:
        words = _("It ended between its beginning and now.")
        raise InvalidData(words, errors={"ended_at": words})
    period.move_to(PeriodStatus.ENDED)
    period.ended_at = ended_at
    period.save_as(actor, _("It works again"))
    return period


@service(perms.DECLARE_DOWNTIME)
def resume_downtime(period: DowntimePeriod, *, actor: Actor) -> DowntimePeriod:
    """Ended too early: it is down again."""
    period = DowntimePeriod.locked(period.pk)
    period.move_to(PeriodStatus.DECLARED)
    period.ended_at = None
    period.save_as(actor, _("Down again"))
    return period


@service(perms.DECLARE_DOWNTIME)
def close_downtime(period: DowntimePeriod, *, actor: Actor) -> DowntimePeriod:
    """Only when the closing list is empty: no form is out, no images of that time belong to nobody."""
    period = DowntimePeriod.locked(period.pk)
    if period.status == PeriodStatus.CLOSED:
        return period
    if period.status == PeriodStatus.DECLARED:
        raise InvalidTransition(
            _("This downtime still runs."),
            asked=_("To close a downtime."),
            found=_("Nobody has said that it works again."),
            todo=_("End it first."),
        )
    found = closing_list(period)
    if not found.is_empty:
        raise _still_open(found)
    period.move_to(PeriodStatus.CLOSED)
    period.closed_at, period.closed_by = timezone.now(), actor.user
    period.save_as(actor, _("Closed"))
    return period


def _still_open(found: ClosingList) -> Conflict:
    out, lost = len(found.open_forms), len(found.waiting)
    words = [
        ngettext("%(n)d form is out", "%(n)d forms are out", out) % {"n": out} if out else "",
        ngettext("%(n)d study or step has no exam", "%(n)d studies or steps have no exam", lost) % {"n": lost}
        if lost
        else "",
    ]
    return Conflict(
        _("Something of this downtime is still open."),
        asked=_("To close a downtime."),
        found="; ".join(filter(None, words)) + ".",
        todo=_("Enter each form, put it back blank or make it void; say whose the images are."),
    )
