"""Standard exams that a facility starts with, the rules that usual names lead by, and the levels that speak of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Starter:
    code: str
    name: str
    modality: str
    region: str
    indication: str = ""
    #: as publications of reference levels call it
    levels: tuple[str, ...] = ()
    #: names that lead to it: (field, pattern, clinical question)
    rules: tuple[tuple[str, str, str], ...] = ()


def _named(*patterns: str, question: str = "") -> tuple[tuple[str, str, str], ...]:
    """The site's name of the exam first; the protocol where there is none."""
    return tuple((field, pattern, question) for field in ("description", "protocol") for pattern in patterns)


#: In the order of their rules: what is said more exactly comes first
EXAMS = (
    Starter("ct-head-stroke", "CT head, acute stroke", "CT", "head", "acute stroke", ("Head, acute stroke",),
            (*_named("*head*", "*brain*", question="stroke"), *_named("*stroke*"))),
    Starter("ct-sinuses", "CT sinuses", "CT", "head", "", ("Sinuses",), _named("*sinus*")),
    Starter("ct-neck-chest-abdomen-pelvis", "CT neck, chest, abdomen and pelvis", "CT", "body", "",
            ("Neck, chest, abdomen and pelvis",), _named("*neck*chest*abdomen*pelvis*")),
    Starter("ct-chest-abdomen-pelvis", "CT chest, abdomen and pelvis", "CT", "body", "",
            ("Chest, abdomen and pelvis",), _named("*chest*abdomen*pelvis*", "*thorax*abdomen*pelvis*")),
    Starter("ct-chest-abdomen", "CT chest and abdomen", "CT", "body", "", ("Chest and abdomen",),
            _named("*chest*abdomen*", "*thorax*abdomen*")),
    Starter("ct-pulmonary-angiography", "CT pulmonary angiography", "CT", "chest", "",
            ("CT pulmonary angiography",), _named("*ctpa*", "*pulmonary*angio*")),
    Starter("ct-chest-hr", "CT chest, high resolution", "CT", "chest", "",
            ("Chest, high resolution (ILD)",), _named("*chest*high*res*", "*hrct*")),
    Starter("ct-chest-lung-cancer", "CT chest, lung cancer", "CT", "chest", "lung cancer", ("Chest, lung cancer",),
            (*_named("*chest*", "*thorax*", question="lung cancer"), *_named("*chest*lung cancer*"))),
    Starter("ct-chest", "CT chest", "CT", "chest", "", ("Chest",), _named("*chest*", "*thorax*")),
    Starter("ct-cervical-spine-fracture", "CT cervical spine, fracture", "CT", "spine", "fracture",
            ("Cervical spine, fracture",), _named("*cervical*spine*", "*c-spine*", question="fracture")),
    Starter("ct-cervical-spine", "CT cervical spine", "CT", "spine", "", (), _named("*cervical*spine*", "*c-spine*")),
    Starter("ct-lumbar-spine", "CT lumbar spine", "CT", "spine", "", ("Lumbar spine",),
            _named("*lumbar*", "*l-spine*")),
    Starter("ct-colonography", "CT colonography", "CT", "abdomen", "", ("Virtual colonoscopy",),
            _named("*colono*")),
    Starter("ct-urogram", "CT urogram", "CT", "abdomen", "", ("Urogram",), _named("*urogra*")),
    Starter("ct-kub", "CT kidneys, ureters, bladder", "CT", "abdomen", "", ("Kidneys, ureters, bladder",),
            _named("*kub*", "*kidney*ureter*")),
    Starter("ct-abdomen-pelvis-abscess", "CT abdomen and pelvis, abscess", "CT", "abdomen", "abscess",
            ("Abdomen and pelvis, abscess",), _named("*abdomen*pelvis*", question="abscess")),
    Starter("ct-abdomen-pelvis", "CT abdomen and pelvis", "CT", "abdomen", "", ("Abdomen and pelvis",),
            _named("*abdomen*pelvis*")),
    Starter("ct-abdomen", "CT abdomen", "CT", "abdomen", "", ("Abdomen",), _named("*abdomen*")),
    Starter("ct-head", "CT head", "CT", "head", "", ("Head",), _named("*head*", "*brain*", "*cranium*")),
    Starter("xr-chest-lat", "X-ray chest lateral", "DX", "chest", "", ("Chest LAT",), _named("*chest*lat*")),
    Starter("xr-chest-pa", "X-ray chest PA", "DX", "chest", "", ("Chest PA",), _named("*chest*")),
    Starter("xr-abdomen", "X-ray abdomen AP", "DX", "abdomen", "", ("Abdomen AP",), _named("*abdomen*")),
    Starter("xr-pelvis", "X-ray pelvis AP", "DX", "pelvis", "", ("Pelvis AP",), _named("*pelvis*")),
    Starter("xr-lumbar-spine-lat", "X-ray lumbar spine lateral", "DX", "spine", "", ("Lumbar spine LAT",),
            _named("*lumbar*lat*")),
    Starter("xr-lumbar-spine-ap", "X-ray lumbar spine AP", "DX", "spine", "", ("Lumbar spine AP",),
            _named("*lumbar*")),
    Starter("xr-skull-lat", "X-ray skull lateral", "DX", "head", "", ("Skull LAT",), _named("*skull*lat*")),
    Starter("xr-skull-pa", "X-ray skull PA", "DX", "head", "", ("Skull PA",), _named("*skull*")),
    Starter("mg-both", "Mammography", "MG", "breast", "", (), _named("*mammo*")),
)  # fmt: skip

#: (field, match, pattern): besides what the parser knows to be no patient
NOT_PATIENTS = (
    ("patient_id", "wildcard", "phy*"), ("patient_id", "wildcard", "qa*"), ("patient_name", "wildcard", "*phantom*"),
    ("patient_name", "wildcard", "* test"),
)  # fmt: skip
