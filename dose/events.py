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
    """``subject``: the trigger; one exam was above the facility's trigger level, or ("pregnancy") reached a child."""

    name: ClassVar[str] = "dose.dose_triggered"

    quantity: str = ""
    kind: str = "reason"


@dataclass(frozen=True)
class SkinFollowUpOpened(Event):
    """``subject``: the follow-up; a patient's skin is to be looked at after a fluoroscopy."""

    name: ClassVar[str] = "dose.skin_follow_up_opened"


@dataclass(frozen=True)
class DRLExceeded(Event):
    """``subject``: the alert; a room's median passed a level. Once per room, exam, quantity, edition and quarter."""

    name: ClassVar[str] = "dose.drl_exceeded"

    quantity: str = ""
    level: str = ""
    period: str = ""


@dataclass(frozen=True)
class DoseEntered(Event):
    """``subject``: the dose report that a person wrote, or corrected."""

    name: ClassVar[str] = "dose.dose_entered"

    procedure: str = ""


@dataclass(frozen=True)
class DoseInvestigationOpened(Event):
    """``subject``: the investigation; the median of one exam in one room lay above a level. Once per cause."""

    name: ClassVar[str] = "dose.investigation_opened"

    quantity: str = ""
