"""What happens to reports, their versions, their deliveries and critical results."""

from reporting.services.assessing import (
    add_assessment,
    answer_not_critical,
    remove_assessment,
    set_check_level,
)
from reporting.services.batch import sign_batch
from reporting.services.critical import (
    acknowledge_critical,
    close_critical,
    escalate,
    log_contact,
    raise_critical_result,
    reopen_critical,
    withdraw_critical,
)
from reporting.services.critical_setup import save_category
from reporting.services.delegation import delegate_result, take_back_result
from reporting.services.deliveries import (
    acknowledge_result,
    mark_delivery_acknowledged,
    mark_delivery_failed,
    mark_delivery_sent,
    open_result,
    plan_deliveries,
    send_delivery_again,
)
from reporting.services.delivery_tries import note_try
from reporting.services.forms import export_template, fill_form, import_template
from reporting.services.groups import add_procedure, remove_procedure
from reporting.services.lists import change_list, move_list, remove_list, save_list, share_list
from reporting.services.locks import beat, release_report, take_over
from reporting.services.macros import save_macro
from reporting.services.outside import record_outside_report
from reporting.services.priors import cite_prior
from reporting.services.reading import ensure_sla_targets, follow_order, follow_procedure, place_on_list, set_sla_target
from reporting.services.reading_assign import (
    ask_to_release,
    assign_exam,
    batch,
    claim_exam,
    release_exam,
    set_priority,
)
from reporting.services.reading_next import open_next
from reporting.services.reading_returns import send_back
from reporting.services.recall import co_sign, mark_changes_seen, recall_report, release_held, release_now
from reporting.services.signing import add_addendum, correct_report, retract_report, sign_preliminary, sign_report
from reporting.services.templates import apply_template, ensure_templates, save_template
from reporting.services.viewing import tell_viewer_study
from reporting.services.writing import discard_report, open_report, save_report

__all__ = [
    "acknowledge_critical",
    "acknowledge_result",
    "add_addendum",
    "add_assessment",
    "add_procedure",
    "answer_not_critical",
    "apply_template",
    "ask_to_release",
    "assign_exam",
    "batch",
    "beat",
    "change_list",
    "cite_prior",
    "claim_exam",
    "close_critical",
    "co_sign",
    "correct_report",
    "delegate_result",
    "discard_report",
    "ensure_sla_targets",
    "ensure_templates",
    "escalate",
    "export_template",
    "fill_form",
    "follow_order",
    "follow_procedure",
    "import_template",
    "log_contact",
    "mark_changes_seen",
    "mark_delivery_acknowledged",
    "mark_delivery_failed",
    "mark_delivery_sent",
    "move_list",
    "note_try",
    "open_next",
    "open_report",
    "open_result",
    "place_on_list",
    "plan_deliveries",
    "raise_critical_result",
    "recall_report",
    "record_outside_report",
    "release_exam",
    "release_held",
    "release_now",
    "release_report",
    "remove_assessment",
    "remove_list",
    "remove_procedure",
    "reopen_critical",
    "retract_report",
    "save_category",
    "save_list",
    "save_macro",
    "save_report",
    "save_template",
    "send_back",
    "send_delivery_again",
    "set_check_level",
    "set_priority",
    "set_sla_target",
    "share_list",
    "sign_batch",
    "sign_preliminary",
    "sign_report",
    "take_back_result",
    "take_over",
    "tell_viewer_study",
    "withdraw_critical",
]
