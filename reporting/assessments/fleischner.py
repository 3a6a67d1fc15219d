"""Fleischner Society 2017 (Radiology 2017;284:228): incidental lung nodules. Sizes are mean diameters in whole mm.

    Solid                 < 6 mm                  6-8 mm                              > 8 mm
    single, low risk      none                    CT 6-12, then consider 18-24 mo     CT 3 mo, PET/CT or tissue
    single, high risk     optional CT at 12 mo    CT 6-12, then 18-24 mo              CT 3 mo, PET/CT or tissue
    multiple, low risk    none                    CT 3-6, then consider 18-24 mo      the same
    multiple, high risk   optional CT at 12 mo    CT 3-6, then 18-24 mo               the same
    Subsolid              < 6 mm                  >= 6 mm
    ground glass          none                    CT 6-12 mo, then every 2 years until 5 years
    part-solid            none                    CT 3-6 mo, then every year for 5 years; solid part >= 6 mm: suspicious
    multiple              CT 3-6 mo, then         CT 3-6 mo, then by the most suspicious nodule
                          consider 2 and 4 years

Not for patients under 35, with known cancer or without their immune defence, nor for screening (Lung-RADS). The paper
names no categories; ours name the kind, the size and the risk.
"""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from reporting.assessments.base import Answers, Choice, Field, NotApplicable, Result, Scheme

NONE = _("No routine follow-up.")
OPTIONAL = _("Optional CT at 12 months.")
WORK_UP = _("Consider CT at 3 months, PET/CT or tissue sampling.")
SINGLE = {
    "low": _("CT at 6 to 12 months, then consider CT at 18 to 24 months."),
    "high": _("CT at 6 to 12 months, then CT at 18 to 24 months."),
}
MULTIPLE = {
    "low": _("CT at 3 to 6 months, then consider CT at 18 to 24 months."),
    "high": _("CT at 3 to 6 months, then CT at 18 to 24 months."),
}


def _solid(size: int, risk: str, is_multiple: bool) -> tuple[str, object]:
    if size < 6:
        return "<6", OPTIONAL if risk == "high" else NONE
    band = "6-8" if size <= 8 else ">8"
    if is_multiple:
        return band, MULTIPLE[risk]
    return band, SINGLE[risk] if size <= 8 else WORK_UP


def _subsolid(kind: str, size: int, solid_part: int, is_multiple: bool) -> tuple[str, object]:
    band = "<6" if size < 6 else ">=6"
    if is_multiple:
        if size < 6:
            return band, _("CT at 3 to 6 months; if stable, consider CT at 2 and 4 years.")
        return band, _("CT at 3 to 6 months; then as the most suspicious nodule asks.")
    if size < 6:
        return band, NONE
    if kind == "ground_glass":
        return band, _("CT at 6 to 12 months to see whether it persists, then every 2 years until 5 years.")
    if solid_part >= 6:
        return band, _("CT at 3 to 6 months to see whether it persists; then highly suspicious: PET/CT or tissue.")
    return band, _("CT at 3 to 6 months to see whether it persists, then every year for 5 years.")


KINDS = {"solid": _("Solid"), "ground_glass": _("Ground glass"), "part_solid": _("Part-solid")}


def calculate(answers: Answers) -> Result:
    if not answers["applies"]:
        raise NotApplicable(
            "applies", _("The advice is for adults from 35 years on, without known cancer and not immunosuppressed.")
        )
    kind, is_multiple = answers["kind"], answers["number"] == "multiple"
    size = int(answers["size"] + 0.5)
    if kind == "solid":
        if "risk" not in answers:
            raise NotApplicable("risk", _("For a solid nodule the risk counts."))
        band, advice = _solid(size, answers["risk"], is_multiple)
        category = f"{answers['number']} solid {band} mm, {answers['risk']} risk"
    else:
        if kind == "part_solid" and size >= 6 and "solid_part" not in answers:
            raise NotApplicable("solid_part", _("Measure its solid part."))
        band, advice = _subsolid(kind, size, int(answers.get("solid_part", 0) + 0.5), is_multiple)
        category = f"{answers['number']} {kind.replace('_', ' ')} {band} mm"
    return Result(category, KINDS[kind], advice)


FLEISCHNER = Scheme(
    key="fleischner",
    name="Fleischner",
    version="2017",
    subject=_("Incidental lung nodule"),
    fields=(
        Field("applies", _("35 years or older, no known cancer, not immunosuppressed"), "yes", is_required=True),
        Field(
            "kind",
            _("Nodule"),
            choices=tuple(Choice(code, label) for code, label in KINDS.items()),
            is_required=True,
        ),
        Field(
            "number",
            _("How many"),
            choices=(Choice("single", _("Single")), Choice("multiple", _("Multiple"))),
            is_required=True,
        ),
        Field("size", _("Mean diameter (of the most suspicious)"), "number", unit="mm", is_required=True, maximum=100),
        Field("solid_part", _("Solid part, mean diameter"), "number", unit="mm", maximum=100),
        Field("risk", _("Risk of lung cancer"), choices=(Choice("low", _("Low")), Choice("high", _("High")))),
    ),
    calculate=calculate,
    modalities=("CT",),
    regions=("chest", "thorax", "lung", "abdomen", "neck"),
)
