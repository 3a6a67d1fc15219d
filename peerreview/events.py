"""What others may hear of peer review. Identifiers only; never who scored whom how."""

from dataclasses import dataclass
from typing import ClassVar

from ris.events.bus import Event


@dataclass(frozen=True)
class RoundLaunched(Event):
    name: ClassVar[str] = "peerreview.round_launched"


@dataclass(frozen=True)
class RoundClosed(Event):
    """All decided, or the time is over. ``not_reviewed``: cases that nobody scored in time."""

    name: ClassVar[str] = "peerreview.round_closed"

    not_reviewed: int = 0
    by_itself: bool = False


@dataclass(frozen=True)
class CasePassedOn(Event):
    """The lead gave a waiting case to another reviewer."""

    name: ClassVar[str] = "peerreview.case_passed_on"


@dataclass(frozen=True)
class CaseToArbitrate(Event):
    """A reviewer found 2b or worse: somebody else decides."""

    name: ClassVar[str] = "peerreview.case_to_arbitrate"


@dataclass(frozen=True)
class DiscrepancyConfirmed(Event):
    """An arbiter upheld a score of 2b or worse; the author is told privately."""

    name: ClassVar[str] = "peerreview.discrepancy_confirmed"

    report: str = ""


@dataclass(frozen=True)
class DiscrepancyAnswered(Event):
    """The author wrote an addendum, or said why not."""

    name: ClassVar[str] = "peerreview.discrepancy_answered"


@dataclass(frozen=True)
class LearningCaseSubmitted(Event):
    """Somebody found a report worth learning from; never who."""

    name: ClassVar[str] = "peerreview.learning_case_submitted"


@dataclass(frozen=True)
class LearningCaseDeclined(Event):
    name: ClassVar[str] = "peerreview.learning_case_declined"


@dataclass(frozen=True)
class FeedbackGiven(Event):
    """The author alone is told."""

    name: ClassVar[str] = "peerreview.feedback_given"
