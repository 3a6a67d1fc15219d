"""What is looked at before a signature. ``checks_before_signing`` is pure: text and facts in, findings out.

English and Swahili words are known. How much a check weighs (stop, warn, off) is the facility's to say, within what
``CHECKS`` allows.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Exists, Q, Subquery
from django.db.models.functions import JSONObject
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from orders.models import PatientIdentifier, RequestedProcedure
from reporting.assessments import SCHEMES, agrees
from reporting.models import SECTIONS, Assessment, CheckSetting, CriticalResult, Report
from reporting.parts import part_key
from reporting.services.dates import dates_in
from worklist.models import ImagingStudy

BLOCK, WARN, OFF = "block", "warn", "off"
RESIDUE = re.compile(r"\[[^\]\n]{0,60}\]*|\{\{[^}\n]{0,60}\}\}|\*{3,}|_{3,}")
SIDES = {
    "L": re.compile(r"\b(left|lt|kushoto)\b", re.IGNORECASE),
    "R": re.compile(r"\b(right|rt|kulia)\b", re.IGNORECASE),
}
#: Anatomy that only the other sex has
ONE_SEX = {
    "F": re.compile(
        r"\b(prostate|prostatic|seminal vesicles?|testis|testes|testicular|scrotum|penis|tezi dume|korodani|uume)\b",
        re.IGNORECASE,
    ),
    "M": re.compile(
        r"\b(uterus|uterine|ovary|ovaries|ovarian|endometrium|cervix uteri|"
        r"mji wa mimba|uterasi|ovari|mfuko wa uzazi)\b",
        re.IGNORECASE,
    ),
}
NUMBER_WITHOUT_UNIT = re.compile(
    r"\b(measur\w*|diameter|thickness|kipenyo|inapima|yenye ukubwa wa|unene wa)\D{0,20}?(\d+(?:[.,]\d+)?)"
    r"(?!\s*(?:[x×]|mm|cm|ml|m\b|%|HU\b|sm\b|[.,]?\d))",
    re.IGNORECASE,
)
CRITICAL_WORDS = re.compile(
    r"\b(tension pneumothorax|pulmonary embolism|aortic dissection|intracranial (?:haemorrhage|hemorrhage|bleed)|"
    r"subdural|subarachnoid (?:haemorrhage|hemorrhage)|"
    r"free (?:intraperitoneal )?air|testicular torsion|ectopic pregnancy|"
    r"ruptured aneurysm|cord compression|cauda equina|acute appendicitis|perforat\w+|"
    r"mimba (?:iliyotunga )?nje ya (?:mfuko wa )?uzazi|mimba nje ya kizazi|"
    r"kuvuja damu (?:kwenye|ndani ya) (?:ubongo|fuvu)|"
    r"damu kwenye ubongo|kutoboka kwa utumbo|hewa huru tumboni|donge la damu (?:kwenye|katika) (?:mapafu|pafu)|"
    r"kusokotwa kwa korodani|kupasuka kwa aota)\b",
    re.IGNORECASE,
)
DENIED = re.compile(
    r"\b(no|without|not|negative for|excluded?|ruled out|hakuna|bila|haijaonekana)\b[^.;\n]{0,60}$", re.IGNORECASE
)


@dataclass(frozen=True)
class CheckKind:
    """``may_be`` lists the weights that a facility may choose from; the first check of safety may not be weakened."""

    title: Any
    level: str
    may_be: tuple[str, ...] = (BLOCK, WARN, OFF)


CHECKS: dict[str, CheckKind] = {
    "viewer_mismatch": CheckKind(gettext_lazy("The viewer shows another patient."), BLOCK, (BLOCK,)),
    "patient_changed": CheckKind(gettext_lazy("The patient is not as this draft knew them."), BLOCK, (BLOCK,)),
    "empty_impression": CheckKind(gettext_lazy("The impression is empty."), BLOCK, (BLOCK,)),
    "template_residue": CheckKind(gettext_lazy("A field is still to be filled."), BLOCK, (BLOCK, WARN)),
    "form_required": CheckKind(gettext_lazy("An answer of the form is missing."), BLOCK, (BLOCK, WARN)),
    "form_open": CheckKind(gettext_lazy("An answer of the form is open."), WARN),
    "laterality": CheckKind(gettext_lazy("The side contradicts the order."), BLOCK, (BLOCK, WARN)),
    "critical_words": CheckKind(gettext_lazy("Critical words, no alert."), BLOCK),
    "assessment_mismatch": CheckKind(gettext_lazy("Text and assessment name different categories."), BLOCK),
    "assessment_unsaid": CheckKind(gettext_lazy("The text does not name the assessed category."), WARN),
    "empty_findings": CheckKind(gettext_lazy("The findings are empty."), WARN),
    "sides_disagree": CheckKind(gettext_lazy("Findings and impression name different sides."), WARN),
    "sex": CheckKind(gettext_lazy("An organ does not fit the patient's sex."), WARN),
    "unit": CheckKind(gettext_lazy("A measurement has no unit."), WARN),
    "comparison_date": CheckKind(gettext_lazy("No earlier exam is of that day."), WARN),
    "newer_images": CheckKind(gettext_lazy("Images have arrived since you opened this."), WARN),
}


@dataclass(frozen=True)
class Check:
    """``target`` is the section to jump to ("" for the page as a whole); ``words`` what was found there."""

    code: str
    level: str
    title: str
    detail: str
    target: str = ""
    words: str = ""

    def as_dict(self) -> dict[str, str]:
        return {
            "code": self.code,
            "level": self.level,
            "title": self.title,
            "detail": self.detail,
            "target": self.target,
        }


def _check(code: str, detail: str = "", target: str = "", words: str = "") -> Check:
    kind = CHECKS[code]
    return Check(code, kind.level, str(kind.title), detail, target, words)


def checks_before_signing(
    sections: Mapping[str, str],
    *,
    laterality: str = "",
    sides: Mapping[str, str] | None = None,
    sex: str = "",
    has_alert: bool = False,
    not_critical: Collection[str] = (),
    identity_changed: bool = False,
    shows_other_patient: bool = False,
    newest_image: datetime | None = None,
    opened_at: datetime | None = None,
    prior_dates: Collection[date] | None = None,
    assessed: Sequence[tuple[str, str]] = (),
    unanswered: Sequence[tuple[str, bool]] = (),
    levels: Mapping[str, str] | None = None,
) -> list[Check]:
    """All findings, those that block first.

    ``sides``: the ordered side per section of findings of one exam. ``not_critical``: critical words that the reader
    has answered. ``prior_dates``: days of the patient's earlier exams; None leaves the comparison unread.
    ``assessed``: (scale, category) of the report. ``unanswered``: (label of a field, whether the form prohibits to sign
    without it). ``levels``: what the facility has set, by code.
    """
    found = [
        *_empty(sections),
        *_residue(sections),
        *_side(sections, laterality, sides or {}),
        *_sex(sections, sex),
        *_critical_words(sections, has_alert, not_critical),
        *_units(sections),
        *_comparison(sections, prior_dates),
        *_assessments(sections, assessed),
        *(_check("form_required" if must else "form_open", f"“{label}”", "form") for label, must in unanswered),
    ]
    if identity_changed:
        words = _("Name, birth date or number has changed since. Open the exam again and look at the banner.")
        found.append(_check("patient_changed", words))
    if shows_other_patient:
        found.append(_check("viewer_mismatch", _("Show this patient's images there, or close the viewer.")))
    if newest_image is not None and opened_at is not None and newest_image > opened_at:
        found.append(_check("newer_images", _("Look at them before you sign.")))
    return weighed(found, levels or {})


def weighed(found: Sequence[Check], levels: Mapping[str, str]) -> list[Check]:
    """With the facility's weights, where they are allowed; without those that are off."""
    rows = []
    for check in found:
        wanted = levels.get(check.code, check.level)
        level = wanted if wanted in CHECKS[check.code].may_be else check.level
        if level != OFF:
            rows.append(replace(check, level=level))
    return sorted(rows, key=lambda check: check.level != BLOCK)


def _empty(sections: Mapping[str, str]) -> list[Check]:
    found = []
    if not sections.get("impression", "").strip():
        found.append(_check("empty_impression", _("A report is signed with one."), "impression"))
    if not sections.get("findings", "").strip():
        found.append(_check("empty_findings", "", "findings"))
    return found


def _residue(sections: Mapping[str, str]) -> list[Check]:
    found = []
    for key in SECTIONS:
        left = RESIDUE.search(sections.get(key, ""))
        if left:
            found.append(_check("template_residue", f"“{left[0]}”", key, left[0]))
    return found


def _side(sections: Mapping[str, str], laterality: str, sides: Mapping[str, str]) -> list[Check]:
    """The ordered side against the text of each exam, and of the whole when all exams are of one side."""
    for key, side in sides.items():
        found = _contradicts(sections.get(key, ""), side, _("The findings"), "findings")
        if found:
            return found
    for key in ("impression", "findings"):
        found = _contradicts(sections.get(key, ""), laterality, str(SECTIONS[key][1]), key)
        if found:
            return found
    return _sides_disagree(sections)


def _contradicts(words: str, side: str, section: str, target: str) -> list[Check]:
    other = {"L": "R", "R": "L"}.get(side, "")
    said = SIDES[other].search(words) if other else None
    if not said or SIDES[side].search(words):
        return []
    detail = _("%(section)s: %(said)s; the exam was ordered for the %(asked)s side.") % {
        "section": section,
        "said": f"“{said[0]}”",
        "asked": {"L": _("left"), "R": _("right")}[side],
    }
    return [_check("laterality", detail, target, said[0])]


def _sides_disagree(sections: Mapping[str, str]) -> list[Check]:
    findings, impression = sections.get("findings", ""), sections.get("impression", "")
    for side, other in (("L", "R"), ("R", "L")):
        only = SIDES[side].search(impression) and not SIDES[other].search(impression)
        if only and SIDES[other].search(findings) and not SIDES[side].search(findings):
            return [_check("sides_disagree", _("Is that right?"), "impression")]
    return []


def _sex(sections: Mapping[str, str], sex: str) -> list[Check]:
    pattern = ONE_SEX.get(sex)
    if pattern is None:
        return []
    for key in ("findings", "impression"):
        said = pattern.search(sections.get(key, ""))
        if said:
            return [_check("sex", f"“{said[0]}”", key, said[0])]
    return []


def critical_words(sections: Mapping[str, str]) -> list[str]:
    """Words of the impression that ask for an alert, unless the text denies them; lower case, each once."""
    words = sections.get("impression", "")
    return list(
        dict.fromkeys(
            said[0].lower() for said in CRITICAL_WORDS.finditer(words) if not DENIED.search(words[: said.start()])
        )
    )


def _critical_words(sections: Mapping[str, str], has_alert: bool, answered: Collection[str]) -> list[Check]:
    said = [] if has_alert else [words for words in critical_words(sections) if words not in answered]
    if not said:
        return []
    detail = _("“%(words)s”. Raise a critical result, or answer that it is none.") % {"words": said[0]}
    return [_check("critical_words", detail, "impression", said[0])]


def _units(sections: Mapping[str, str]) -> list[Check]:
    for key in ("findings", "impression"):
        said = NUMBER_WITHOUT_UNIT.search(sections.get(key, ""))
        if said:
            return [_check("unit", f"“{said[0]}”", key, said[0])]
    return []


def _comparison(sections: Mapping[str, str], days: Collection[date] | None) -> list[Check]:
    if days is None:
        return []
    for words, day in dates_in(sections.get("comparison", "")):
        if day not in days:
            detail = _("“%(date)s” is the date of no earlier exam that is known here.") % {"date": words}
            return [_check("comparison_date", detail, "comparison", words)]
    return []


def _assessments(sections: Mapping[str, str], assessed: Sequence[tuple[str, str]]) -> list[Check]:
    """The category in the words against the one in the data, per scale."""
    by_scheme: dict[str, list[str]] = {}
    for scheme, category in assessed:
        by_scheme.setdefault(scheme, []).append(category)
    found = []
    for key, categories in by_scheme.items():
        scheme = SCHEMES.get(key)
        if scheme is None or not scheme.pattern:
            continue
        checks, is_named = _of_scheme(sections, scheme, categories)
        found += checks
        if not checks and not is_named:
            detail = _("%(scale)s %(category)s") % {"scale": scheme.name, "category": ", ".join(categories)}
            found.append(_check("assessment_unsaid", detail, "impression"))
    return found


def _of_scheme(sections: Mapping[str, str], scheme: Any, categories: Sequence[str]) -> tuple[list[Check], bool]:
    is_named = False
    for section in ("impression", "findings", "recommendation"):
        for words, category in scheme.mentions(sections.get(section, "")):
            is_named = True
            if not any(agrees(category, stored) for stored in categories):
                detail = _("The text says “%(said)s”, the assessment %(scale)s %(stored)s.") % {
                    "said": words,
                    "scale": scheme.name,
                    "stored": ", ".join(categories),
                }
                return [_check("assessment_mismatch", detail, section, words)], True
    return [], is_named


def levels_set() -> dict[str, str]:
    """What the facility has set, by code."""
    return dict(CheckSetting.objects.values_list("code", "level"))


def checks_of(report: Report, sections: Mapping[str, str] | None = None, *, viewer_study: str = "") -> list[Check]:
    """The checks of a stored report, with what its procedures, priors and images say.

    ``viewer_study``: the Study Instance UID that the signer's viewer shows, "" when none is open.
    """
    from reporting.services.priors import prior_days
    from reporting.services.viewer_guard import is_of_other_patient
    from reporting.services.writing import identity_of

    procedures = _exams_of(report)
    if not procedures:
        return []
    texts = report.sections if sections is None else sections
    sides = {procedure.laterality for procedure in procedures}
    patient = procedures[0].order.patient
    facts = _facts_of(report, procedures)
    facts["numbers"] = [(row["value"], row["issuer"]) for row in facts["identifiers"]]
    return checks_before_signing(
        texts,
        laterality=sides.pop() if len(sides) == 1 else "",
        sides={part_key(procedure): procedure.laterality for procedure in procedures},
        sex=patient.sex,
        has_alert=facts["has_alert"],
        not_critical=report.not_critical,
        identity_changed=bool(report.identity_seen) and report.identity_seen != identity_of(patient, facts["numbers"]),
        shows_other_patient=bool(viewer_study) and is_of_other_patient(viewer_study, patient),
        newest_image=facts["newest_image"],
        opened_at=report.opened_at,
        prior_dates=prior_days(procedures) if dates_in(texts.get("comparison", "")) else None,
        assessed=[(row["scheme"], row["category"]) for row in facts["assessed"]],
        unanswered=_unanswered(report, procedures),
        levels={row["code"]: row["level"] for row in facts["levels"]},
    )


def _exams_of(report: Report) -> list[RequestedProcedure]:
    """With their patient; those that came with the report are not asked for again."""
    if "procedures" in getattr(report, "_prefetched_objects_cache", {}):
        return list(report.procedures.all())
    return list(report.procedures.select_related("order__patient"))


def _facts_of(report: Report, procedures: list[RequestedProcedure]) -> dict[str, Any]:
    """Whether an alert was raised, when the newest image came, what was assessed, the patient's numbers, and the levels
    set; one query."""
    numbers = PatientIdentifier.objects.filter(patient=procedures[0].order.patient_id).order_by("pk")
    alerts = CriticalResult.objects.filter(Q(report=report) | Q(procedure__in=procedures)).exclude(status="withdrawn")
    images = ImagingStudy.objects.filter(procedures__in=procedures).order_by("-last_received_at")
    assessed = Assessment.objects.filter(report=report).standing().order_by("pk")
    return (
        Report.objects.order_by()
        .values(
            has_alert=Exists(alerts),
            newest_image=Subquery(images.values("last_received_at")[:1]),
            assessed=ArraySubquery(assessed.values(said=JSONObject(scheme="scheme", category="category"))),
            identifiers=ArraySubquery(numbers.values(said=JSONObject(value="value", issuer="issuer"))),
            levels=ArraySubquery(CheckSetting.objects.values(said=JSONObject(code="code", level="level"))),
        )
        .get(pk=report.pk)
    )


def _unanswered(report: Report, procedures: list[RequestedProcedure]) -> list[tuple[str, bool]]:
    """Fields of the report's form (MRRT) that must not, or should not, stay open."""
    from reporting.mrrt.answers import still_open
    from reporting.services.forms import begun_answers, form_of_report

    known = form_of_report(report)
    if known is None:
        return []
    form, filled = known
    answers = filled.answers if filled is not None else begun_answers(form, report, procedures)
    return [(field.label or field.id, field.completion == "PROHIBIT") for field in still_open(form, answers)]
