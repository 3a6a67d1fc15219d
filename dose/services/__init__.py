"""What happens to dose: imported, linked, classified, entered by hand, compared, told of."""

from dose.services.importing import (
    ensure_reference_levels,
    ensure_trigger_levels,
    explain_trigger,
    follow_study,
    import_dose_report,
    link_dose_report,
    link_waiting,
    procedure_by_accession,
    read_dataset,
    unlink_dose_report,
    unlink_study,
)

__all__ = [
    "ensure_reference_levels", "ensure_trigger_levels", "explain_trigger", "follow_study", "import_dose_report",
    "link_dose_report", "link_waiting", "procedure_by_accession", "read_dataset", "unlink_dose_report", "unlink_study",
]  # fmt: skip
