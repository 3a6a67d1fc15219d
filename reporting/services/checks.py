"""What is looked at before a signature. Pure: text and facts in, findings out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from orders.models import RequestedProcedure
from reporting.models import SECTIONS, Report
from worklist.models import ImagingStudy

BLOCK, WARN = "block", "warn"
RESIDUE = re.compile(r"\[[^\]\n]{0,60}\]?|\*{3,}|_{3,}")
SIDES = {
    "L": re.compile(r"\b(left|lt|kushoto)\b", re.IGNORECASE),
    "R": re.compile(r"\b(right|rt|kulia)\b", re.IGNORECASE),
}
#: Anatomy that only one sex has
ONE_SEX = {
    "F": re.compile(r"\b(prostate|seminal vesicles?|testis|testes|tezi dume)\b", re.IGNORECASE),
    "M": re.compile(r"\b(uterus|ovary|ovaries|endometrium|cervix uteri|mji wa mimba)\b", re.IGNORECASE),
}
NUMBER_WITHOUT_UNIT = re.compile(
    r"\b(measur\w*|diameter|kipenyo)\D{0,20}?(\d+(?:[.,]\d+)?)(?!\s*(?:[x×]|mm|cm|m\b|%|[.,]?\d))", re.I
)
CRITICAL_WORDS = re.compile(
    r"\b(tension pneumothorax|pulmonary embolism|aortic dissection|intracranial (?:haemorrhage|hemorrhage|bleed)|"
    r"subdural|subarachnoid (?:haemorrhage|hemorrhage)|"
    r"free (?:intraperitoneal )?air|testicular torsion|ectopic pregnancy|"
    r"ruptured aneurysm|cord compression|cauda equina|acute appendicitis|perforat\w+)\b",
    re.IGNORECASE,
)
DENIED = re.compile(r"\b(no|without|not|negative for|excluded?|hakuna)\b[^.;\n]{0,60}$", re.IGNORECASE)


@dataclass(frozen=True)
class Check:
    """``target`` is the section to jump to ("" for the page as a whole)."""

    code: str
    level: str
    title: str
    detail: str
    target: str = ""

    def as_dict(self) -> dict[str, str]:
        return {
            "code": self.code,
            "level": self.level,
            "title": self.title,
            "detail": self.detail,
            "target": self.target,
        }


def checks_before_signing(
    sections: Mapping[str, str],
    *,
    laterality: str = "",
    sex: str = "",
    has_alert: bool = False,
    identity_changed: bool = False,
    newest_image: datetime | None = None,
    opened_at: datetime | None = None,
) -> list[Check]:
    """All findings, those that block first."""
    found = [
        *_empty(sections),
        *_residue(sections),
        *_side(sections, laterality),
        *_sex(sections, sex),
        *_critical_words(sections, has_alert),
        *_units(sections),
    ]
    if identity_changed:
        found.append(
            Check(
                "patient_changed",
                BLOCK,
                _("The patient is not as this draft knew them."),
                _("Name, birth date or number has changed since. Open the exam again and look at the banner."),
            )
        )
    if newest_image is not None and opened_at is not None and newest_image > opened_at:
        found.append(
            Check(
                "newer_images",
                WARN,
                _("Images have arrived since you opened this."),
                _("Look at them before you sign."),
            )
        )
    return sorted(found, key=lambda check: check.level != BLOCK)


def _empty(sections: Mapping[str, str]) -> list[Check]:
    found = []
    if not sections.get("impression", "").strip():
        found.append(
            Check(
                "empty_impression",
                BLOCK,
                _("The impression is empty."),
                _("A report is signed with one."),
                "impression",
            )
        )
    if not sections.get("findings", "").strip():
        found.append(Check("empty_findings", WARN, _("The findings are empty."), "", "findings"))
    return found


def _residue(sections: Mapping[str, str]) -> list[Check]:
    found = []
    for key in SECTIONS:
        left = RESIDUE.search(sections.get(key, ""))
        if left:
            found.append(
                Check(
                    "template_residue",
                    BLOCK,
                    _("A field is still to be filled."),
                    f"{SECTIONS[key][1]}: {left[0]}",
                    key,
                )
            )
    return found


def _side(sections: Mapping[str, str], laterality: str) -> list[Check]:
    other = {"L": "R", "R": "L"}.get(laterality, "")
    for key in ("impression", "findings"):
        words = sections.get(key, "")
        said = SIDES[other].search(words) if other else None
        if said and not SIDES[laterality].search(words):
            asked = {"L": _("left"), "R": _("right")}[laterality]
            detail = _("%(section)s says %(said)s; the exam was ordered for the %(asked)s side.") % {
                "section": SECTIONS[key][1],
                "said": f"“{said[0]}”",
                "asked": asked,
            }
            return [Check("laterality", BLOCK, _("The side contradicts the order."), detail, key)]
    return _sides_disagree(sections)


def _sides_disagree(sections: Mapping[str, str]) -> list[Check]:
    findings, impression = sections.get("findings", ""), sections.get("impression", "")
    for side, other in (("L", "R"), ("R", "L")):
        only = SIDES[side].search(impression) and not SIDES[other].search(impression)
        if only and SIDES[other].search(findings) and not SIDES[side].search(findings):
            return [
                Check(
                    "sides_disagree",
                    WARN,
                    _("Findings and impression name different sides."),
                    _("Is that right?"),
                    "impression",
                )
            ]
    return []


def _sex(sections: Mapping[str, str], sex: str) -> list[Check]:
    pattern = ONE_SEX.get(sex)
    if pattern is None:
        return []
    for key in ("findings", "impression"):
        said = pattern.search(sections.get(key, ""))
        if said:
            return [Check("sex", WARN, _("An organ does not fit the patient's sex."), f"“{said[0]}”", key)]
    return []


def _critical_words(sections: Mapping[str, str], has_alert: bool) -> list[Check]:
    if has_alert:
        return []
    words = sections.get("impression", "")
    for said in CRITICAL_WORDS.finditer(words):
        if not DENIED.search(words[: said.start()]):
            return [
                Check(
                    "critical_words",
                    WARN,
                    _("Critical words, no alert."),
                    _("“%(words)s”. Raise a critical result, or sign if it is not one.") % {"words": said[0]},
                    "impression",
                )
            ]
    return []


def _units(sections: Mapping[str, str]) -> list[Check]:
    for key in ("findings", "impression"):
        said = NUMBER_WITHOUT_UNIT.search(sections.get(key, ""))
        if said:
            return [Check("unit", WARN, _("A measurement has no unit."), f"“{said[0]}”", key)]
    return []


def checks_of(report: Report, sections: Mapping[str, str] | None = None) -> list[Check]:
    """The checks of a stored report, with what its procedures and images say."""
    from reporting.services.writing import identity_of

    procedures: Sequence[RequestedProcedure] = list(report.procedures.select_related("order__patient"))
    if not procedures:
        return []
    sides = {procedure.laterality for procedure in procedures}
    patient = procedures[0].order.patient
    newest = (
        ImagingStudy.objects.filter(procedures__in=procedures)
        .order_by("-last_received_at")
        .values_list("last_received_at", flat=True)
    )
    return checks_before_signing(
        report.sections if sections is None else sections,
        laterality=sides.pop() if len(sides) == 1 else "",
        sex=patient.sex,
        has_alert=report.critical_results.exclude(status="withdrawn").exists()
        or any(procedure.critical_results.exclude(status="withdrawn").exists() for procedure in procedures),
        identity_changed=bool(report.identity_seen) and report.identity_seen != identity_of(patient),
        newest_image=newest.first(),
        opened_at=report.opened_at,
    )
