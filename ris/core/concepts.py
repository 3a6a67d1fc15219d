"""Coded concepts: the (value, scheme, meaning) triple of PS3.3 8.8, and the context groups we refuse by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    value: str
    scheme: str
    meaning: str

    def as_dict(self) -> dict[str, str]:
        return {"code": self.value, "scheme": self.scheme, "meaning": self.meaning}


def _dcm(**meanings: str) -> dict[str, Code]:
    return {key[1:]: Code(key[1:], "DCM", meaning) for key, meaning in meanings.items()}


#: CID 9300 and 9301, Procedure Discontinuation Reasons (PS3.16)
DISCONTINUATION_REASONS = _dcm(
    c110500="Doctor canceled procedure",
    c110501="Equipment failure",
    c110502="Incorrect procedure ordered",
    c110503="Patient allergic to media/contrast",
    c110504="Patient died",
    c110505="Patient refused to continue procedure",
    c110506="Patient taken for treatment or surgery",
    c110507="Patient did not arrive",
    c110508="Patient pregnant",
    c110509="Change of procedure for correct charging",
    c110510="Duplicate order",
    c110511="Nursing unit cancel",
    c110512="Incorrect side ordered",
    c110513="Discontinued for unspecified reason",
    c110514="Incorrect worklist entry selected",
    c110515="Patient condition prevented continuing",
    c110516="Equipment change",
)
