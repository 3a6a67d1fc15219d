"""Diagnostic reference levels that a facility starts with, each with the source that says so.

A level is compared with the median of many exams of one room (ICRP 135), never with one exam. Values that were read in
a second publication say so; a facility checks them with the first before it leans on them.
"""

from __future__ import annotations

from dataclasses import dataclass

CTDI, DLP, ESD = ("ctdi_vol", "mGy"), ("dlp", "mGy.cm"), ("esd", "mGy")
SECOND_HAND = "Quoted at second hand; to be checked with the publication."
FIRST_HAND = "As published."

UK = (
    "UK", 2024, "CT",
    "UK national diagnostic reference levels, gov.uk, 20 November 2024 (CT values adopted 2022).", FIRST_HAND,
)  # fmt: skip
KENYA = (
    "Kenya", 2016, "CT",
    "Korir et al., Radiat Prot Dosim 2016;168:242, doi 10.1093/rpd/ncv020, as quoted by Ekpo 2018 in "
    "Radioprotection 2024/03.",
    SECOND_HAND,
)  # fmt: skip
UGANDA = ("Uganda", 2022, "CT", "BMC Medical Imaging, doi 10.1186/s12880-022-00838-x.", FIRST_HAND)
ETHIOPIA = ("Ethiopia, Addis Ababa", 2023, "CT", "BMC Medical Imaging, doi 10.1186/s12880-023-00963-1.", FIRST_HAND)
JAPAN = ("Japan", 2020, "CT", "Japan DRLs 2020, as quoted in Radioprotection 2024/03, table 3.", SECOND_HAND)
AUSTRALIA = (
    "Australia",
    2019,
    "CT",
    "Australian DRLs 2019, as quoted in Radioprotection 2024/03, table 3.",
    SECOND_HAND,
)
IAEA = (
    "IAEA", 1996, "DX",
    "IAEA Safety Series 115 (1996), guidance levels: entrance surface dose per film, film-screen speed 200; "
    "digital should be lower.",
    FIRST_HAND,
)  # fmt: skip

#: (publication, exam, CTDIvol mGy, DLP mGy.cm)
CT_ROWS = (
    (UK, "Head, acute stroke", 47, 790),
    (UK, "Sinuses", 12, 160),
    (UK, "Cervical spine, fracture", 16, 400),
    (UK, "Chest, lung cancer", 8.5, 290),
    (UK, "Chest, high resolution (ILD)", 8, 300),
    (UK, "Chest and abdomen", None, 470),
    (UK, "Chest, abdomen and pelvis", None, 660),
    (UK, "CT pulmonary angiography", 9.1, 310),
    (UK, "Abdomen and pelvis, abscess", 10, 530),
    (UK, "Virtual colonoscopy", None, 690),
    (UK, "Kidneys, ureters, bladder", 6.3, 290),
    (UK, "Urogram", None, 890),
    (UK, "Neck, chest, abdomen and pelvis", None, 850),
    (KENYA, "Head", 61, 1612),
    (KENYA, "Chest", 19, 895),
    (KENYA, "Abdomen and pelvis", 20, 1842),
    (UGANDA, "Head", 56.0, 1260),
    (UGANDA, "Chest", 7.8, 377),
    (UGANDA, "Abdomen", 12.5, 1418),
    (UGANDA, "Lumbar spine", 19.5, 844),
    (ETHIOPIA, "Head", 53, 1210),
    (ETHIOPIA, "Chest", 13, 635),
    (ETHIOPIA, "Abdomen and pelvis", 16, 822),
    (JAPAN, "Head", 77, 1350),
    (JAPAN, "Chest", 13, 510),
    (JAPAN, "Abdomen and pelvis", 18, 880),
    (AUSTRALIA, "Head", 52, 880),
    (AUSTRALIA, "Chest", 10, 390),
    (AUSTRALIA, "Abdomen and pelvis", 13, 566),
)
#: (exam, entrance surface dose mGy)
RADIOGRAPHY_ROWS = (
    ("Lumbar spine AP", 10), ("Lumbar spine LAT", 30), ("Lumbosacral joint", 40), ("Abdomen AP", 10), ("Pelvis AP", 10),
    ("Hip AP", 10), ("Chest PA", 0.4), ("Chest LAT", 1.5), ("Thoracic spine AP", 7), ("Thoracic spine LAT", 20),
    ("Dental periapical", 7), ("Skull PA", 5), ("Skull LAT", 3),
)  # fmt: skip

#: (quantity, limit, unit, what follows, weeks summed) in fluoroscopy rooms. The first are OpenREM's defaults, of one
#: exam and of twelve weeks; the last are substantial radiation dose levels (NCRP report 168): the skin is looked at.
FLUOROSCOPY_TRIGGERS = (
    ("dap", 200.0, "Gy.cm2", "reason", 0),
    ("dose_rp", 2000.0, "mGy", "reason", 0),
    ("dap", 200.0, "Gy.cm2", "reason", 12),
    ("dose_rp", 2000.0, "mGy", "reason", 12),
    ("dap", 500.0, "Gy.cm2", "skin", 0),
    ("dose_rp", 5000.0, "mGy", "skin", 0),
    ("fluoro_time", 3600.0, "s", "skin", 0),
)
TRIGGERS = tuple((modality, *row) for modality in ("RF", "XA") for row in FLUOROSCOPY_TRIGGERS)
#: Whose shipped levels alert from the start; the others are there to compare with
WATCHED = frozenset({"UK"})


@dataclass(frozen=True)
class Level:
    authority: str
    year: int
    exam: str
    modality: str
    quantity: str
    value: float
    unit: str
    source: str
    certainty: str


def starter_levels() -> list[Level]:
    found = []
    for (authority, year, modality, source, certainty), exam, ctdi, dlp in CT_ROWS:
        for (quantity, unit), value in ((CTDI, ctdi), (DLP, dlp)):
            if value is not None:
                found.append(Level(authority, year, exam, modality, quantity, float(value), unit, source, certainty))
    authority, year, modality, source, certainty = IAEA
    for exam, value in RADIOGRAPHY_ROWS:
        found.append(Level(authority, year, exam, modality, ESD[0], float(value), ESD[1], source, certainty))
    return found
