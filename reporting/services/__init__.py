"""What happens to reports, their versions, their deliveries and critical results."""

from reporting.services.critical import (
    acknowledge_critical,
    close_critical,
    escalate,
    log_contact,
    raise_critical_result,
    reopen_critical,
    withdraw_critical,
)
from reporting.services.deliveries import (
    acknowledge_result,
    mark_delivery_acknowledged,
    mark_delivery_failed,
    mark_delivery_sent,
    open_result,
    plan_deliveries,
    send_delivery_again,
)
from reporting.services.groups import add_procedure, remove_procedure
from reporting.services.locks import beat, release_report, take_over
from reporting.services.signing import add_addendum, correct_report, retract_report, sign_preliminary, sign_report
from reporting.services.macros import save_macro
from reporting.services.templates import apply_template, ensure_templates, save_template
from reporting.services.writing import discard_report, open_report, save_report

__all__ = [
    "acknowledge_critical",
    "acknowledge_result",
    "add_addendum",
    "add_procedure",
    "apply_template",
    "beat",
    "close_critical",
    "correct_report",
    "discard_report",
    "ensure_templates",
    "escalate",
    "log_contact",
    "mark_delivery_acknowledged",
    "mark_delivery_failed",
    "mark_delivery_sent",
    "open_report",
    "open_result",
    "plan_deliveries",
    "raise_critical_result",
    "reopen_critical",
    "release_report",
    "remove_procedure",
    "retract_report",
    "save_macro",
    "save_report",
    "save_template",
    "send_delivery_again",
    "sign_preliminary",
    "sign_report",
    "take_over",
    "withdraw_critical",
]
