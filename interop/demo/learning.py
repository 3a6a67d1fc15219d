"""What reports leave behind: cases to learn from, and exams that were recommended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from django.utils import timezone

from interop.demo import clock
from reporting import services as reporting
from reporting.models import FollowUp, Report, ReportStatus, TeachingCase
from reporting.services.followups import recommend
from reporting.services.teaching import change_case, keep_case, offer_case, share_case
from ris.accounts.models import User
from ris.core.actor import Actor

#: Exam: diagnosis, tags, question, answer; the first that there is of the demo's exams is shared, the next offered
CASES: dict[str, tuple[str, str, str, str]] = {
    "CTCAPC": (
        "Liver metastases", "liver, oncology",
        "Which phase shows these lesions best, and why?",
        "The portal venous phase: they take up less contrast than the liver around them.",
    ),
    "CTKUB": (
        "Obstructing ureteric stone", "urology, stone",
        "Which signs beside the stone tell that it obstructs?",
        "A dilated ureter and renal pelvis, perinephric stranding, and a rim of oedema around the stone.",
    ),
    "CTPA": (
        "Normal CT pulmonary angiogram", "chest, normal",
        "What must be seen before a pulmonary embolism is ruled out?",
        "Enough contrast in the pulmonary trunk, no breathing artefact, and every segmental artery followed.",
    ),
    "XRWRIST": (
        "Fracture of the distal radius", "trauma, wrist",
        "Which second view would you look at, and for what?",
        "The lateral one, for the tilt of the joint surface.",
    ),
    "USLIVER": (
        "Gallstones", "abdomen, gallstones",
        "How do you tell a stone from a polyp?",
        "A stone moves with the patient and casts a shadow.",
    ),
    "MRLSPINE": (
        "Disc extrusion L4/5", "spine, disc",
        "Which level of the cord's end do you name, and why?",
        "The conus: its place tells whether cord or cauda is pressed on.",
    ),
}  # fmt: skip
SHARED, OFFERED, KEPT = 2, 1, 1
#: Exam: (modality, region, due after so many days, why)
RECOMMENDED: dict[str, tuple[str, str, int, str]] = {
    "CTCAPC": ("CT", "abdomen", 90, "Response of the liver lesions to treatment"),
    "CTKUB": ("US", "abdomen", 28, "Hydronephrosis gone after the stone has passed?"),
    "USLIVER": ("US", "abdomen", 180, "Gallbladder polyp of 6 mm: has it grown?"),
    "XRWRIST": ("DX", "wrist", 7, "Position of the fracture after one week in plaster"),
    "CTPA": ("CT", "chest", 365, "Nodule of 5 mm in the right upper lobe: has it grown?"),
    "MRLSPINE": ("MR", "spine", 120, "Course of the disc extrusion"),
}
OPEN, LATE = 3, 2


def seed_learning(people: Mapping[str, User]) -> None:
    """Once; what people kept is left alone."""
    signed = Report.objects.filter(status__in=(ReportStatus.FINAL, ReportStatus.APPENDED)).order_by("pk")
    reports = [(row.first_procedure.code, row) for row in signed]
    if not TeachingCase.objects.exists():
        _keep_cases(reports, people)
    if not FollowUp.objects.exists():
        _recommend(reports, people)


def _keep_cases(reports: list[tuple[str, Report]], people: Mapping[str, User]) -> None:
    radiologist, resident = Actor("command", people["radiologist"]), Actor("command", people["resident"])
    by_code = {code: row for code, row in reports if code in CASES}
    for place, (code, report) in enumerate(list(by_code.items())[: SHARED + OFFERED + KEPT]):
        diagnosis, tags, question, answer = CASES[code]
        is_offered = place == SHARED
        owner = resident if is_offered else radiologist
        case = keep_case(report, title=diagnosis, diagnosis=diagnosis, tags=tags, actor=owner)
        case = change_case(case, question=question, answer=answer, is_read=place < SHARED, actor=owner)
        if is_offered:
            offer_case(case, actor=owner)
        elif place < SHARED:
            share_case(case, actor=owner)


def _recommend(reports: list[tuple[str, Report]], people: Mapping[str, User]) -> None:
    """Some that are due, some whose day has passed."""
    radiologist = Actor("command", people["radiologist"])
    for place, (code, report) in enumerate([pair for pair in reports if pair[0] in RECOMMENDED][: OPEN + LATE]):
        modality, region, days, reason = RECOMMENDED[code]
        signed_at = report.signed_at or timezone.now()
        is_late = place % 2 == 1
        with clock.at(signed_at + timedelta(minutes=1)):
            today = timezone.localdate()
            recommend(
                report,
                due_on=today + timedelta(days=0 if is_late else days),
                reason=reason,
                modality=modality,
                body_region=region,
                actor=radiologist,
            )


def sign_as_resident(report: Report, findings: str, impression: str, *, actor: Actor) -> Report:
    """Less seen and more hedged than what the attending makes of it."""
    seen = findings.split(". ")
    sections = {
        **report.sections,
        "findings": ". ".join(seen[:-1]) + "." if len(seen) > 1 else findings,
        "impression": f"{impression} Clinical correlation is recommended.",
    }
    report = reporting.save_report(report, sections=sections, revision=report.revision, actor=actor)
    report = reporting.answer_not_critical(report, actor=actor)
    return reporting.sign_preliminary(report, actor=actor)
