"""Sheets and what is written on them, for tests."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from orders.models import DowntimeForm
from orders.services import PaperEntry, make_downtime_pack
from tests.factories.orders import SYSTEM, make_catalogue


def a_while_ago(minutes: int) -> datetime:
    return timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=minutes)


def blank_form(**fields: Any) -> DowntimeForm:
    return make_downtime_pack(count=1, actor=SYSTEM, **fields).forms.select_related("pack").get()


def written(**fields: Any) -> PaperEntry:
    """Arrived three hours ago, done within half an hour."""
    make_catalogue("CTHEAD", name="CT head", modality="CT")
    return PaperEntry(
        **{
            "arrived_at": a_while_ago(180),
            "started_at": a_while_ago(170),
            "ended_at": a_while_ago(150),
            "code": "CTHEAD",
            "indication": "Fall from a ladder",
            "technologist": "Grace Akinyi",
        }
        | fields
    )
