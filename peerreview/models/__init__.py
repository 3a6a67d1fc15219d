"""Second looks: rounds scored blind (RADPEER 2016) and what follows a discrepancy; peer learning without scores."""

from peerreview.models.cases import (
    CaseStatus,
    Category,
    Discrepancy,
    DiscrepancyStatus,
    Impact,
    ReviewCase,
    Severity,
)
from peerreview.models.learning import (
    Conference,
    ConferenceEntry,
    ConferenceStatus,
    LearningCase,
    LearningKind,
    LearningStatus,
)
from peerreview.models.rounds import Mode, ReviewRound, RoundStatus, Scale, ScaleGrade, Score

__all__ = [
    "CaseStatus",
    "Category",
    "Conference",
    "ConferenceEntry",
    "ConferenceStatus",
    "Discrepancy",
    "DiscrepancyStatus",
    "Impact",
    "LearningCase",
    "LearningKind",
    "LearningStatus",
    "Mode",
    "ReviewCase",
    "ReviewRound",
    "RoundStatus",
    "Scale",
    "ScaleGrade",
    "Score",
    "Severity",
]
