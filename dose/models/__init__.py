from dose.models.reports import (
    DoseInvestigation,
    DoseInvestigationStatus,
    DoseReport,
    DoseTrigger,
    DoseTriggerStatus,
    IrradiationEvent,
    LevelScope,
    ReferenceLevel,
    TriggerLevel,
)

__all__ = [
    "DoseInvestigation", "DoseInvestigationStatus", "DoseReport", "DoseTrigger", "DoseTriggerStatus",
    "IrradiationEvent", "LevelScope", "ReferenceLevel", "TriggerLevel",
]  # fmt: skip
