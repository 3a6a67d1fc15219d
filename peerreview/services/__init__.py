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
from peerreview.services.conferences import (
    add_to_conference,
    cancel_conference,
    change_conference,
    hold_conference,
    move_entry,
    plan_conference,
    remove_entry,
    tick_entry,
)
from peerreview.services.discrepancies import addend_discrepancy, decline_discrepancy, resolve_discrepancy
from peerreview.services.importing import ImportedScore, import_scores, imported_score, read_scores
from peerreview.services.learning import (
    acknowledge_feedback,
    decline_learning,
    give_feedback,
    prepare_learning,
    submit_learning,
    take_images,
)
from peerreview.services.rounds import close_round, create_round, launch_round
from peerreview.services.sampling import Preview, preview, sample
from peerreview.services.tending import change_due, move_case, remind_reviewers, swap_case, tick_case

__all__ = [
    "ARBITRATED",
    "COMMENTED",
    "ImportedScore",
    "Preview",
    "acknowledge_feedback",
    "add_to_conference",
    "addend_discrepancy",
    "arbitrate_case",
    "cancel_conference",
    "change_conference",
    "change_due",
    "close_round",
    "create_round",
    "decline_discrepancy",
    "decline_learning",
    "give_feedback",
    "give_impression",
    "hold_conference",
    "import_scores",
    "imported_score",
    "launch_round",
    "move_case",
    "move_entry",
    "plan_conference",
    "prepare_learning",
    "preview",
    "read_scores",
    "reassign_case",
    "remind_reviewers",
    "remove_entry",
    "resolve_discrepancy",
    "review_ad_hoc",
    "sample",
    "score_case",
    "submit_learning",
    "swap_case",
    "take_images",
    "tick_case",
    "tick_entry",
]
