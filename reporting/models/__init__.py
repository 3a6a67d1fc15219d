from reporting.models.critical import ContactAttempt, CriticalCategory, CriticalResult, CriticalStatus
from reporting.models.delivery import DeliveryChannel, DeliveryRule, DeliveryStatus, ReportDelivery
from reporting.models.lists import ReadingLock, SavedList
from reporting.models.reports import SECTIONS, Report, ReportStatus, ReportVersion, VersionKind
from reporting.models.templates import Macro, ReportTemplate

__all__ = [
    "SECTIONS",
    "ContactAttempt",
    "CriticalCategory",
    "CriticalResult",
    "CriticalStatus",
    "DeliveryChannel",
    "DeliveryRule",
    "DeliveryStatus",
    "Macro",
    "ReadingLock",
    "Report",
    "ReportDelivery",
    "ReportStatus",
    "ReportTemplate",
    "ReportVersion",
    "SavedList",
    "VersionKind",
]
