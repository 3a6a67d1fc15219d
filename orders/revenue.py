"""Revenue by month, modality and payer. Sums only: no row of a patient leaves this module, so restricted patients
count in them as everybody does, and only the sites of the asking person narrow them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db.models import Case, DecimalField, F, Q, Sum, When
from django.db.models.functions import TruncMonth
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from orders import money
from orders.models import InvoiceKind, InvoiceLine, Modality, PaymentAllocation, PaymentKind, PaymentMethod
from ris.accounts.selectors import facility_settings
from ris.core.actor import Actor

MONTHS = (3, 6, 12, 24)
GROUPS = (
    ("modality", gettext_lazy("Modality")),
    ("payer", gettext_lazy("Payer")),
)
OTHER = "OT"


@dataclass
class Series:
    """One modality or payer: what was asked for in each month, less what was credited."""

    name: str
    by_month: list[Decimal]

    @property
    def total(self) -> Decimal:
        return sum(self.by_month, money.ZERO)


@dataclass
class Revenue:
    currency: str
    group: str
    months: list[date]
    series: list[Series]
    credited: list[Decimal]
    received: list[Decimal]
    waived: list[Decimal]
    #: {method: [amount per month]}
    by_method: dict[str, list[Decimal]] = field(default_factory=dict)

    @property
    def totals(self) -> list[Decimal]:
        """Per month, all series together."""
        return [sum((row.by_month[place] for row in self.series), money.ZERO) for place in range(len(self.months))]

    @property
    def total(self) -> Decimal:
        return sum(self.totals, money.ZERO)

    def rows(self) -> list[tuple[date, list[Decimal], Decimal, Decimal, Decimal, Decimal]]:
        """(month, per series, all, credited, received, waived), newest month first."""
        totals = self.totals
        rows = [
            (
                month,
                [row.by_month[place] for row in self.series],
                totals[place],
                self.credited[place],
                self.received[place],
                self.waived[place],
            )
            for place, month in enumerate(self.months)
        ]
        return list(reversed(rows))


def asked(query: Mapping[str, str]) -> dict[str, Any]:
    """What an address asks for, as ``revenue`` takes it; anything else falls back to the whole last year."""
    months = query.get("months", "")
    return {
        "months": int(months) if months.isdecimal() and len(months) < 4 and int(months) in MONTHS else 12,
        "group": query["group"] if query.get("group") in dict(GROUPS) else "modality",
        "modality": query["modality"] if query.get("modality") in Modality.values else "",
        "payer": query.get("payer", "")[:16],
    }


def months_back(count: int, today: date | None = None) -> list[date]:
    """The first days of the last ``count`` months, oldest first."""
    today = today or timezone.localdate()
    number = today.year * 12 + today.month - 1
    return [date((number - back) // 12, (number - back) % 12 + 1, 1) for back in range(count - 1, -1, -1)]


def revenue(*, actor: Actor, months: int = 12, group: str = "modality", modality: str = "", payer: str = "") -> Revenue:
    """By the month of the invoice, credit notes in the month of the note; money by the month that it came in."""
    shown = months_back(months)
    index = {month: place for place, month in enumerate(shown)}
    since = timezone.make_aware(datetime.combine(shown[0], datetime.min.time()))
    currency = facility_settings().currency
    lines = _of_sites(InvoiceLine.objects.filter(invoice__currency=currency, invoice__issued_at__gte=since), actor)
    if modality:
        lines = lines.filter(charge__procedure__modality=modality)
    if payer:
        lines = lines.filter(_of_payer(payer, "invoice__"))
    key = "charge__procedure__modality" if group == "modality" else "invoice__scheme__name"
    found: dict[str, list[Decimal]] = {}
    credited = [money.ZERO] * months
    signed = Case(
        When(invoice__kind=InvoiceKind.CREDIT_NOTE, then=-F("amount")), default=F("amount"), output_field=_AMOUNT
    )
    sums = (
        lines.annotate(month=TruncMonth("invoice__issued_at"))
        .order_by()
        .values_list(key, "month")
        .annotate(net=Sum(signed), given=Sum("amount", filter=Q(invoice__kind=InvoiceKind.CREDIT_NOTE)))
    )
    for name, month, net, given in sums:
        place = index.get(timezone.localtime(month).date())
        if place is not None:
            found.setdefault(name or "", [money.ZERO] * months)[place] += net
            credited[place] += given or money.ZERO
    received, waived, by_method = _received(actor, since, index, currency, modality, payer)
    series = sorted((Series(_name(group, key), row) for key, row in found.items()), key=lambda row: -row.total)
    return Revenue(currency, group, shown, series, credited, received, waived, by_method)


_AMOUNT = DecimalField(max_digits=14, decimal_places=2)


def _name(group: str, key: str) -> str:
    if group == "modality":
        return str(dict(Modality.choices).get(key, key or OTHER))
    return key or _("Patients themselves")


def _of_payer(code: str, path: str) -> Q:
    """``self``: the patients themselves."""
    return Q(**{f"{path}scheme__isnull": True}) if code == "self" else Q(**{f"{path}scheme__code": code})


def _of_sites(rows: Any, actor: Actor) -> Any:
    sites = [site.pk for site in actor.user.sites.all()] if actor.user is not None else []
    if sites:
        rows = rows.filter(Q(invoice__order__site__in=sites) | Q(invoice__order__site__isnull=True))
    return rows


def _received(
    actor: Actor, since: datetime, index: dict[date, int], currency: str, modality: str, payer: str
) -> tuple[list[Decimal], list[Decimal], dict[str, list[Decimal]]]:
    """Money in, less money back, per month; what was waived; and by method. Of one modality: invoices of it alone."""
    count = len(index)
    rows = PaymentAllocation.objects.filter(payment__currency=currency, payment__received_at__gte=since)
    rows = _of_sites(rows, actor)
    if payer:
        rows = rows.filter(_of_payer(payer, "invoice__"))
    if modality:
        lines = InvoiceLine.objects.order_by()
        of_it = lines.filter(charge__procedure__modality=modality)
        of_others = lines.exclude(charge__procedure__modality=modality)
        rows = rows.filter(invoice__in=of_it.values("invoice")).exclude(invoice__in=of_others.values("invoice"))
    signed = Case(When(payment__kind=PaymentKind.REFUND, then=-F("amount")), default=F("amount"), output_field=_AMOUNT)
    sums = (
        rows.annotate(month=TruncMonth("payment__received_at"))
        .order_by()
        .values_list("payment__method", "month")
        .annotate(net=Sum(signed))
    )
    by_method: dict[str, list[Decimal]] = {}
    for method, month, net in sums:
        place = index.get(timezone.localtime(month).date())
        if place is not None:
            by_method.setdefault(method, [money.ZERO] * count)[place] += net
    waived = by_method.pop(PaymentMethod.WAIVER, [money.ZERO] * count)
    received = [sum((row[place] for row in by_method.values()), money.ZERO) for place in range(count)]
    return received, waived, by_method


# --- as a table for others


def heads(found: Revenue) -> list[str]:
    return [
        _("Month"),
        *(row.name for row in found.series),
        _("Invoiced, net"),
        _("Credited"),
        _("Received"),
        _("Waived"),
        _("Currency"),
    ]


def table(found: Revenue) -> Iterable[list[Any]]:
    """The rows of the export: the same numbers as on the page, oldest month first."""
    for month, numbers, *rest in reversed(found.rows()):
        yield [f"{month:%Y-%m}", *numbers, *rest, found.currency]
