"""What others may hear about reports, critical results and deliveries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ris.events.bus import Event


@dataclass(frozen=True)
class ReportSigned(Event):
    """Common to the three below: ``subject`` is the report's UUID, ``version`` the number of the signed version."""

    report_version: str = ""


@dataclass(frozen=True)
class ReportPreliminary(ReportSigned):
    name: ClassVar[str] = "reporting.report_preliminary"


@dataclass(frozen=True)
class ReportFinalized(ReportSigned):
    name: ClassVar[str] = "reporting.report_finalized"


@dataclass(frozen=True)
class ReportAmended(ReportSigned):
    """``kind``: addendum, correction or retraction."""

    name: ClassVar[str] = "reporting.report_amended"

    kind: str = ""


@dataclass(frozen=True)
class DeliveryPlanned(Event):
    """A version is to go to a recipient; ``subject`` and ``delivery`` are the UUID of its line in the ledger."""

    name: ClassVar[str] = "reporting.delivery_planned"

    delivery: str = ""
    channel: str = ""
    destination: str = ""
    report_version: str = ""


@dataclass(frozen=True)
class DeliveryAcknowledged(Event):
    name: ClassVar[str] = "reporting.delivery_acknowledged"

    channel: str = ""


@dataclass(frozen=True)
class ReadingOverdue(Event):
    """A report is not there in the time that its exam allows; ``subject`` is the procedure's UUID."""

    name: ClassVar[str] = "reporting.reading_overdue"

    minutes: int = 0


@dataclass(frozen=True)
class ExamSentBack(Event):
    """A reader wants something of the technologist first; ``subject`` is the procedure's UUID."""

    name: ClassVar[str] = "reporting.exam_sent_back"

    reason: str = ""


@dataclass(frozen=True)
class CriticalResultRaised(Event):
    name: ClassVar[str] = "reporting.critical_result_raised"

    category: int = 0


@dataclass(frozen=True)
class CriticalResultCommunicated(Event):
    name: ClassVar[str] = "reporting.critical_result_communicated"


@dataclass(frozen=True)
class CriticalResultEscalated(Event):
    name: ClassVar[str] = "reporting.critical_result_escalated"

    level: int = 0


@dataclass(frozen=True)
class CriticalResultAcknowledged(Event):
    name: ClassVar[str] = "reporting.critical_result_acknowledged"


@dataclass(frozen=True)
class CriticalResultWithdrawn(Event):
    name: ClassVar[str] = "reporting.critical_result_withdrawn"


@dataclass(frozen=True)
class CriticalResultClosed(Event):
    name: ClassVar[str] = "reporting.critical_result_closed"


@dataclass(frozen=True)
class CriticalResultReopened(Event):
    name: ClassVar[str] = "reporting.critical_result_reopened"


@dataclass(frozen=True)
class FollowUpRecommended(Event):
    """A signed report recommends an exam; ``subject`` is the recommendation's UUID."""

    name: ClassVar[str] = "reporting.follow_up_recommended"

    due_on: str = ""


@dataclass(frozen=True)
class FollowUpClosed(Event):
    """``outcome``: done or cancelled."""

    name: ClassVar[str] = "reporting.follow_up_closed"

    outcome: str = ""


@dataclass(frozen=True)
class FollowUpLate(Event):
    """The recommended exam has not happened in time; who asked for the first one was told."""

    name: ClassVar[str] = "reporting.follow_up_late"


@dataclass(frozen=True)
class TeachingImagesChosen(Event):
    """Images of a teaching case wait to be copied without the patient; ``subject`` is the case's UUID."""

    name: ClassVar[str] = "reporting.teaching_images_chosen"


@dataclass(frozen=True)
class TeachingCaseShared(Event):
    name: ClassVar[str] = "reporting.teaching_case_shared"


@dataclass(frozen=True)
class TeachingCaseWithdrawn(Event):
    name: ClassVar[str] = "reporting.teaching_case_withdrawn"
