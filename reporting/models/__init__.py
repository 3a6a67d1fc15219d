from reporting.models.assessments import Assessment
from reporting.models.critical import ContactAttempt, CriticalCategory, CriticalResult, CriticalStatus
from reporting.models.critical_setup import REQUESTER, AlertCategory, EscalationRule, FindingChoice
from reporting.models.critical_steps import AnswerLink, EscalationStep, StepCause, StepProblem, WallDisplay
from reporting.models.delivery import (
    AttemptOutcome,
    DeliveryAttempt,
    DeliveryChannel,
    DeliveryRule,
    DeliveryStatus,
    MailForm,
    ReportDelivery,
)
from reporting.models.followups import FollowUp, FollowUpStatus
from reporting.models.lists import ReadingLock, SavedList
from reporting.models.outside import OutsideReport, OutsideReportStatus
from reporting.models.reading import (
    Assigns,
    ReaderProfile,
    ReadingGroup,
    ReadingItem,
    ReadingReturn,
    ReturnReason,
    SlaTarget,
)
from reporting.models.reports import SECTIONS, Report, ReportStatus, ReportVersion, VersionKind
from reporting.models.search import ReportText, SavedSearch
from reporting.models.sharing import ShareAccess, ShareLink, ShareOutcome
from reporting.models.signing import CheckLevel, CheckSetting, CoSignature, ReportRecall, ViewerContext
from reporting.models.teaching import CopyState, TeachingCase, TeachingImage, TeachingStatus
from reporting.models.templates import FilledForm, Macro, ReportTemplate, TemplateSex
from reporting.models.viewing import ExternalViewer, ViewerLaunch

__all__ = [
    "REQUESTER",
    "SECTIONS",
    "AlertCategory",
    "AnswerLink",
    "Assessment",
    "Assigns",
    "AttemptOutcome",
    "CheckLevel",
    "CheckSetting",
    "CoSignature",
    "ContactAttempt",
    "CopyState",
    "CriticalCategory",
    "CriticalResult",
    "CriticalStatus",
    "DeliveryAttempt",
    "DeliveryChannel",
    "DeliveryRule",
    "DeliveryStatus",
    "EscalationRule",
    "EscalationStep",
    "ExternalViewer",
    "FilledForm",
    "FindingChoice",
    "FollowUp",
    "FollowUpStatus",
    "Macro",
    "MailForm",
    "OutsideReport",
    "OutsideReportStatus",
    "ReaderProfile",
    "ReadingGroup",
    "ReadingItem",
    "ReadingLock",
    "ReadingReturn",
    "Report",
    "ReportDelivery",
    "ReportRecall",
    "ReportStatus",
    "ReportTemplate",
    "ReportText",
    "ReportVersion",
    "ReturnReason",
    "SavedList",
    "SavedSearch",
    "ShareAccess",
    "ShareLink",
    "ShareOutcome",
    "SlaTarget",
    "StepCause",
    "StepProblem",
    "TeachingCase",
    "TeachingImage",
    "TeachingStatus",
    "TemplateSex",
    "VersionKind",
    "ViewerContext",
    "ViewerLaunch",
    "WallDisplay",
]
