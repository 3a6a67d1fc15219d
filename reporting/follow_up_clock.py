"""Recommended exams that are late fall due for telling."""

from __future__ import annotations

from reporting.services.followups import claim_late, tell_late
from ris.events.dispatcher import register_work

register_work("reporting.late_follow_up", claim=claim_late, run=tell_late)
