"""Second looks: rounds of sampled reports, scored blind (RADPEER 2016), and what follows a discrepancy."""

from peerreview.models.cases import (
    CaseStatus,
    Category,
    Discrepancy,
    DiscrepancyStatus,
    Impact,
    ReviewCase,
    Severity,
)
from peerreview.models.rounds import Mode, ReviewRound, RoundStatus, Scale, ScaleGrade, Score

__all__ = [
    "CaseStatus",
    "Category",
    "Discrepancy",
    "DiscrepancyStatus",
    "Impact",
    "Mode",
    "ReviewCase",
    "ReviewRound",
    "RoundStatus",
    "Scale",
    "ScaleGrade",
    "Score",
    "Severity",
]
