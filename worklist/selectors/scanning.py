"""Which exam a barcode means: accession number, step, ticket, wristband; or which pack it stands on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Upper
from django.utils import timezone
from django.utils.translation import gettext as _

from orders.models import DowntimeForm, PatientIdentifier, ProcedureStatus, RequestedProcedure
from ris.core.actor import Actor
from ris.core.errors import InvalidData, NotKnown
from ris.core.gs1 import Pack, plain_code, read_pack
from worklist.models import Product, QueueTicket
from worklist.selectors.console import DONE, WAITING, exams

LONGEST = 128
ONGOING = (*WAITING, ProcedureStatus.ACCEPTED)
RECENT_DAYS = 30


@dataclass
class Scan:
    """``kind``: exam, ticket, patient (a wristband) or pack. ``exams``: those it may mean, likeliest first."""

    kind: str
    exams: list[RequestedProcedure] = field(default_factory=list)
    product: Product | None = None
    pack: Pack | None = None


def read_scan(code: str, *, actor: Actor) -> Scan:
    """Raises NotKnown, InvalidData; both say in words what was scanned, never whose it is."""
    text = plain_code(code)[:LONGEST]
    if not text:
        words = _("Scan or type a code.")
        raise InvalidData(words, asked=_("To find an exam by its code."), errors={"code": words})
    for find in (_by_number, _by_ticket, _by_pack, _by_wristband):
        found = find(code if find is _by_pack else text, actor)
        if found is not None:
            return found
    raise _unknown(text)


def _by_number(text: str, actor: Actor) -> Scan | None:
    """Accession number, requested procedure or step: printed on tickets, labels and requests."""
    number = text.upper()
    condition = (
        Q(accession_number__iexact=number)
        | Q(requested_procedure_id__iexact=number)
        | Q(steps__scheduled_procedure_step_id__iexact=number)
    )
    keys = RequestedProcedure.objects.filter(condition).values("pk")
    rows = list(exams(actor=actor).filter(pk__in=keys)[:20])
    return Scan("exam", _likeliest_first(rows)) if rows else None


def _by_ticket(text: str, actor: Actor) -> Scan | None:
    """CT-007: the number that a patient holds today."""
    prefix, dash, number = text.upper().rpartition("-")
    if not dash or not number.isdigit() or len(number) > 6:
        return None
    tickets = QueueTicket.objects.filter(day=timezone.localdate(), prefix=prefix, number=int(number))
    rows = list(exams(actor=actor).filter(pk__in=tickets.values("procedure")))
    return Scan("ticket", rows) if rows else None


def _by_pack(code: str, actor: Actor) -> Scan | None:
    pack = read_pack(code)
    if pack is None:
        return None
    digits = {pack.gtin, pack.gtin.lstrip("0")} | {pack.gtin[-length:] for length in (8, 12, 13)}
    product = Product.objects.filter(gtin__in=digits, is_active=True).first()
    if product is None and PatientIdentifier.objects.filter(value=plain_code(code)).exists():
        return None  # a number of ours that happens to look like one
    return Scan("pack", product=product, pack=pack)


def _by_wristband(text: str, actor: Actor) -> Scan | None:
    """An identifier of the patient, with or without its issuer (HL7 CX)."""
    value, _caret, rest = text.upper().partition("^")
    issuer = rest.rpartition("^")[2]
    rows = PatientIdentifier.objects.annotate(said=Upper("value")).filter(said=value.strip())
    if issuer:
        rows = rows.filter(issuer__iexact=issuer)
    keys = set(rows.values_list("patient_id", "patient__merged_into_id"))
    patients = {survivor or patient for patient, survivor in keys}
    if not patients:
        return None
    since = timezone.now() - timedelta(days=RECENT_DAYS)
    recent = Q(status__in=DONE, status_changed_at__gte=since)
    found = exams(actor=actor).filter(Q(status__in=ONGOING) | recent, order__patient__in=patients)
    listed = _likeliest_first(list(found[:20]))
    if not listed:
        raise NotKnown(
            _("This patient has no exam here."),
            asked=_("To find an exam by a wristband."),
            found=_("The identifier is known; no exam waits, runs, or was done in the last %(n)d days.")
            % {"n": RECENT_DAYS},
            todo=_("Ask the desk whether an exam was ordered."),
        )
    ongoing = [row for row in listed if row.status in ONGOING]
    return Scan("patient", ongoing or listed)


def _likeliest_first(rows: list[RequestedProcedure]) -> list[RequestedProcedure]:
    """What runs, who is here, what is planned for today, the rest."""
    order = (ProcedureStatus.IN_PROGRESS, ProcedureStatus.ARRIVED, ProcedureStatus.SCHEDULED, ProcedureStatus.ACCEPTED)
    return sorted(rows, key=lambda row: (order.index(row.status) if row.status in order else len(order), -row.pk))


def _unknown(text: str) -> NotKnown:
    form = DowntimeForm.objects.filter(accession_number__iexact=text).first()
    if form is not None:
        return NotKnown(
            _("This number stands on a downtime form."),
            asked=_("To find an exam by its code."),
            found=_("Form %(label)s has not been entered.") % {"label": form.label},
            todo=_("Enter the form on the downtime page; then its exam is here."),
        )
    return NotKnown(
        _("Nobody knows this code."),
        asked=_("To find an exam by its code."),
        found=_("It is no accession number, ticket, wristband or pack of this facility that you may see."),
        todo=_("Scan again, closer and straight. When it is right, ask the desk to register the patient or the order."),
    )
