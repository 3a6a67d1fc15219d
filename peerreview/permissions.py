"""The rights of peer review."""

from django.utils.translation import gettext_noop as _

from ris.core.permissions import QA_LEAD, RADIOLOGIST, declare

VIEW_ROUND = declare("peerreview.view_round", _("See review rounds"), QA_LEAD, RADIOLOGIST)
MANAGE_ROUND = declare("peerreview.manage_round", _("Launch and close review rounds"), QA_LEAD)
SCORE_CASE = declare("peerreview.score_case", _("Score review cases"), RADIOLOGIST)
ARBITRATE_CASE = declare("peerreview.arbitrate_case", _("Arbitrate discrepancies"), RADIOLOGIST, QA_LEAD)
