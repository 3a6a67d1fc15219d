"""What happens to dose: imported, linked, named, entered by hand, compared, told of."""

from dose.services.drl import add_level, import_levels, preview_levels, revise_level, withdraw_level
from dose.services.fallbacks import import_step, import_study_headers
from dose.services.importing import import_dose_report, read_dataset
from dose.services.linking import (
    follow_study,
    link_dose_report,
    link_waiting,
    procedure_by_accession,
    unlink_dose_report,
    unlink_study,
)
from dose.services.manual import correct_dose, enter_dose
from dose.services.naming import move_rule, reapply_rules, save_not_patient_rule, save_rule, save_standard_exam
from dose.services.starting import ensure_reference_levels, ensure_standard_exams, ensure_trigger_levels
from dose.services.telling import save_alert_rule
from dose.services.triggers import close_skin_follow_up, explain_trigger, tell_patient
from dose.services.watching import check_medians

__all__ = [
    "add_level", "check_medians", "close_skin_follow_up", "correct_dose", "ensure_reference_levels",
    "ensure_standard_exams", "ensure_trigger_levels", "enter_dose", "explain_trigger", "follow_study",
    "import_dose_report", "import_levels", "import_step", "import_study_headers", "link_dose_report", "link_waiting",
    "move_rule", "preview_levels", "procedure_by_accession", "read_dataset", "reapply_rules", "revise_level",
    "save_alert_rule", "save_not_patient_rule", "save_rule", "save_standard_exam", "tell_patient",
    "unlink_dose_report", "unlink_study", "withdraw_level",
]  # fmt: skip
