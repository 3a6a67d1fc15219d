"""What is asked about reports: the reading list, a report with its surroundings, results, critical results."""

from reporting.selectors.critical import compliance_by_month, critical_board, critical_results
from reporting.selectors.outside import outside_reports_of
from reporting.selectors.reading import (
    ReadingFilter,
    fingerprint,
    list_counts,
    next_best,
    reading_list,
    saved_lists,
)
from reporting.selectors.reading_why import why_not_here
from reporting.selectors.reports import (
    deliveries,
    history_entries,
    live_lock_of,
    priors_of,
    report_by_uuid,
    reports,
    technologist_notes,
)
from reporting.selectors.results import inbox, inbox_counts, unopened_results

__all__ = [
    "ReadingFilter",
    "compliance_by_month",
    "critical_board",
    "critical_results",
    "deliveries",
    "fingerprint",
    "history_entries",
    "inbox",
    "inbox_counts",
    "list_counts",
    "live_lock_of",
    "next_best",
    "outside_reports_of",
    "priors_of",
    "reading_list",
    "report_by_uuid",
    "reports",
    "saved_lists",
    "technologist_notes",
    "unopened_results",
    "why_not_here",
]
