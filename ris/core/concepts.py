"""Coded concepts: the (value, scheme, meaning) triple of PS3.3 8.8, and the context groups we refuse by."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext_noop as _


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
    c110500=_("Doctor canceled procedure"),
    c110501=_("Equipment failure"),
    c110502=_("Incorrect procedure ordered"),
    c110503=_("Patient allergic to media/contrast"),
    c110504=_("Patient died"),
    c110505=_("Patient refused to continue procedure"),
    c110506=_("Patient taken for treatment or surgery"),
    c110507=_("Patient did not arrive"),
    c110508=_("Patient pregnant"),
    c110509=_("Change of procedure for correct charging"),
    c110510=_("Duplicate order"),
    c110511=_("Nursing unit cancel"),
    c110512=_("Incorrect side ordered"),
    c110513=_("Discontinued for unspecified reason"),
    c110514=_("Incorrect worklist entry selected"),
    c110515=_("Patient condition prevented continuing"),
    c110516=_("Equipment change"),
)


def discontinuation_choices() -> list[tuple[str, str]]:
    """For forms and for the OpenAPI document."""
    return [(code, entry.meaning) for code, entry in DISCONTINUATION_REASONS.items()]
