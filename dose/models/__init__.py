from dose.models.alerts import (
    AlertKind,
    DoseAlertRule,
    LevelAlert,
    LevelCheck,
    SkinFinding,
    SkinFollowUp,
    SkinFollowUpStatus,
)
from dose.models.mapping import ExamRule, MatchField, MatchKind, NotPatientField, NotPatientRule, StandardExam
from dose.models.rejects import RejectTarget
from dose.models.reports import (
    DoseInvestigation,
    DoseInvestigationStatus,
    DoseReport,
    DoseTrigger,
    DoseTriggerStatus,
    IrradiationEvent,
    LevelScope,
    ReferenceLevel,
    TriggerKind,
    TriggerLevel,
)

__all__ = [
    "AlertKind", "DoseAlertRule", "DoseInvestigation", "DoseInvestigationStatus", "DoseReport", "DoseTrigger",
    "DoseTriggerStatus", "ExamRule", "IrradiationEvent", "LevelAlert", "LevelCheck", "LevelScope", "MatchField",
    "MatchKind", "NotPatientField", "NotPatientRule", "ReferenceLevel", "RejectTarget", "SkinFinding", "SkinFollowUp",
    "SkinFollowUpStatus", "StandardExam", "TriggerKind", "TriggerLevel",
]  # fmt: skip
