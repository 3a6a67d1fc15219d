"""The Native DICOM Model (PS3.19 A.1): the JSON model of a data set as XML. Pure."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape, quoteattr

from pydicom.datadict import keyword_for_tag

from interop.dicomweb.model import NAME_GROUPS, Model

NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
NAME_PARTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
#: What XML 1.0 cannot hold.
FORBIDDEN = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 65534, 65535))


def native_model(model: Model) -> bytes:
    attributes = "".join(_attributes(model))
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    text = f'{head}<NativeDicomModel xmlns="{NAMESPACE}" xml:space="preserve">{attributes}</NativeDicomModel>'
    return text.encode("utf-8", "replace")


def _attributes(model: Model) -> list[str]:
    return [_attribute(tag, element, model) for tag, element in model.items()]


def _attribute(tag: str, element: Model, model: Model) -> str:
    keyword = keyword_for_tag(int(tag, 16))
    named = f" keyword={quoteattr(keyword)}" if keyword else _creator(tag, model)
    return f'<DicomAttribute tag="{tag}" vr="{element["vr"]}"{named}>{_content(element)}</DicomAttribute>'


def _creator(tag: str, model: Model) -> str:
    """The private creator that reserves a private tag's block."""
    if int(tag[3], 16) % 2 == 0 or tag[4:6] == "00":
        return ""
    values = model.get(f"{tag[:4]}00{tag[4:6]}", {}).get("Value") or [""]
    return f" privateCreator={quoteattr(_clean(values[0]))}" if values[0] else ""


def _content(element: Model) -> str:
    if "BulkDataURI" in element:
        return f"<BulkData uri={quoteattr(element['BulkDataURI'])}/>"
    if "InlineBinary" in element:
        return f"<InlineBinary>{element['InlineBinary']}</InlineBinary>"
    numbered = enumerate(element.get("Value", ()), 1)
    return "".join(_value(number, value, element["vr"]) for number, value in numbered)


def _value(number: int, value: Any, vr: str) -> str:
    if vr == "SQ":
        return f'<Item number="{number}">{"".join(_attributes(value))}</Item>'
    if vr == "PN":
        return f'<PersonName number="{number}">{_name(value or {})}</PersonName>'
    return f'<Value number="{number}">{escape(_clean(value))}</Value>' if value is not None else ""


def _name(groups: Model) -> str:
    made = []
    for group in NAME_GROUPS:
        parts = [
            f"<{part}>{escape(_clean(text))}</{part}>"
            for part, text in zip(NAME_PARTS, groups.get(group, "").split("^"), strict=False)
            if text
        ]
        made.append(f"<{group}>{''.join(parts)}</{group}>" if parts else "")
    return "".join(made)


def _clean(value: Any) -> str:
    return str(value).translate(FORBIDDEN)
