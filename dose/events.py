"""What others may hear about dose. Identifiers only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ris.events.bus import Event


@dataclass(frozen=True)
class DoseReportImported(Event):
    """``subject``: the dose report."""

    name: ClassVar[str] = "dose.dose_report_imported"

    study_instance_uid: str = ""


@dataclass(frozen=True)
class DoseReportLinked(Event):
    """``subject``: the dose report; it belongs to ``procedure`` ("" when a link was undone)."""

    name: ClassVar[str] = "dose.dose_report_linked"

    procedure: str = ""


@dataclass(frozen=True)
class DoseTriggered(Event):
    """``subject``: the trigger; one exam was above the facility's trigger level."""

    name: ClassVar[str] = "dose.dose_triggered"

    quantity: str = ""


@dataclass(frozen=True)
class DoseInvestigationOpened(Event):
    """``subject``: the investigation; the median of one exam in one room lay above a level. Once per cause."""

    name: ClassVar[str] = "dose.investigation_opened"

    quantity: str = ""
