"""What happens in peer review."""

from peerreview.services.cases import (
    ARBITRATED,
    COMMENTED,
    arbitrate_case,
    give_impression,
    reassign_case,
    review_ad_hoc,
    score_case,
)
from peerreview.services.discrepancies import addend_discrepancy, decline_discrepancy, resolve_discrepancy
from peerreview.services.rounds import close_round, create_round, launch_round
from peerreview.services.sampling import Preview, preview, sample

__all__ = [
    "ARBITRATED",
    "COMMENTED",
    "Preview",
    "addend_discrepancy",
    "arbitrate_case",
    "close_round",
    "create_round",
    "decline_discrepancy",
    "give_impression",
    "launch_round",
    "preview",
    "reassign_case",
    "resolve_discrepancy",
    "review_ad_hoc",
    "sample",
    "score_case",
]
