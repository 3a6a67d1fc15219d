"""The rights of peer review."""

from django.utils.translation import gettext_noop as _

from ris.core.permissions import QA_LEAD, RADIOLOGIST, READERS, RESIDENT, TECHNOLOGIST, declare

VIEW_ROUND = declare("peerreview.view_round", _("See review rounds"), QA_LEAD, RADIOLOGIST)
MANAGE_ROUND = declare("peerreview.manage_round", _("Launch and close review rounds"), QA_LEAD)
SCORE_CASE = declare("peerreview.score_case", _("Score review cases"), RADIOLOGIST)
ARBITRATE_CASE = declare("peerreview.arbitrate_case", _("Arbitrate discrepancies"), RADIOLOGIST, QA_LEAD)
ANSWER_DISCREPANCY = declare("peerreview.answer_discrepancy", _("Answer discrepancies of own reports"), RADIOLOGIST)
VIEW_SCORECARD = declare("peerreview.view_scorecard", _("See one's own scorecard"), RADIOLOGIST, RESIDENT, QA_LEAD)
VIEW_LEARNING = declare("peerreview.view_learning", _("See learning conferences"), *READERS, TECHNOLOGIST, QA_LEAD)
SUBMIT_LEARNING = declare(
    "peerreview.submit_learning", _("Submit reports to learn from"), *READERS, TECHNOLOGIST, QA_LEAD
)
COORDINATE_LEARNING = declare("peerreview.coordinate_learning", _("Prepare learning cases and conferences"), QA_LEAD)
