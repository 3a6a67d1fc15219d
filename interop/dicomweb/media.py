"""Media types of PS3.18 8.7: what a request accepts, and which of what can be given it gets. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ris.core.errors import DomainError

DICOM, DICOM_JSON, DICOM_XML = "application/dicom", "application/dicom+json", "application/dicom+xml"
OCTETS, MULTIPART, ANY = "application/octet-stream", "multipart/related", "*/*"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
MAX_LENGTH = 4096

#: PS3.18 Table 8.7.3-5: the media type that a compressed frame has, by its transfer syntax.
COMPRESSED_TYPES = {
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg",
    "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.92": "image/jpx",
    "1.2.840.10008.1.2.4.93": "image/jpx",
    "1.2.840.10008.1.2.4.201": "image/jphc",
    "1.2.840.10008.1.2.4.202": "image/jphc",
    "1.2.840.10008.1.2.4.203": "image/jphc",
    "1.2.840.10008.1.2.4.110": "image/jxl",
    "1.2.840.10008.1.2.4.111": "image/jxl",
    "1.2.840.10008.1.2.4.112": "image/jxl",
    "1.2.840.10008.1.2.5": "image/dicom-rle",
}
MPEG2 = "1.2.840.10008.1.2.4.10"
#: Names of before the media types were registered.
SYNONYMS = {
    "image/x-dicom-rle": "image/dicom-rle",
    "image/x-jls": "image/jls",
    "image/jll": "image/jpeg",
    "image/dicom+jpeg": "image/jpeg",
    "image/dicom+jp2": "image/jp2",
    "application/json": DICOM_JSON,
    "application/xml": DICOM_XML,
    "text/xml": DICOM_XML,
}

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z/-]+"
_PARAMETER = re.compile(rf';\s*({_TOKEN})\s*=\s*("(?:[^"\\]|\\.)*"|[^;,"\s]*)\s*|;\s*')
_NAME = re.compile(rf"\s*({_TOKEN})\s*")


class NotAcceptable(DomainError):
    """None of the accepted media types can be given."""

    code = "not_acceptable"
    http_status = 406


class UnsupportedType(DomainError):
    """The request's body is of a type that is not taken."""

    code = "unsupported_media_type"
    http_status = 415


class BadRequest(DomainError):
    """A parameter or header of the request cannot be understood."""

    code = "invalid"
    http_status = 400


@dataclass(frozen=True)
class MediaType:
    """``name`` in lower case; parameters by lower-case name."""

    name: str
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def quality(self) -> float:
        try:
            return float(self.parameters.get("q", "1"))
        except ValueError:
            return 0.0


@dataclass(frozen=True)
class Offer:
    """One form in which something can be given. ``syntax``: its transfer syntax, empty where that means nothing.

    ``is_stored``: nothing has to be decoded or rewritten for it.
    """

    name: str
    syntax: str = ""
    is_multipart: bool = True
    is_stored: bool = False


def parse_media_types(text: str) -> list[MediaType]:
    """The media types of an Accept or Content-Type header, in order. Raises BadRequest."""
    if len(text) > MAX_LENGTH:
        raise BadRequest("The header with media types is too long.")
    return list(_media_types(text))


def _media_types(text: str) -> Iterator[MediaType]:
    at = 0
    while at < len(text):
        if text[at] in ", \t":
            at += 1
            continue
        name = _NAME.match(text, at)
        if name is None:
            raise BadRequest("A media type is not well formed.", errors={"accept": "Not well formed."})
        at, parameters = name.end(), {}
        while at < len(text) and text[at] == ";":
            found = _PARAMETER.match(text, at)
            if found is None:
                raise BadRequest("A media type is not well formed.", errors={"accept": "Not well formed."})
            if found[1]:
                parameters[found[1].lower()] = _unquoted(found[2])
            at = found.end()
        if at < len(text) and text[at] != ",":
            raise BadRequest("A media type is not well formed.", errors={"accept": "Not well formed."})
        yield MediaType(name[1].lower(), parameters)


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value[:1] == '"' else value


def choose(accepted: Sequence[MediaType], offers: Sequence[Offer]) -> Offer:
    """The best offer, which are in our order of preference. Raises NotAcceptable, which says what there is.

    A range without transfer syntax asks for the default one (PS3.18 8.7.3.5.2): Explicit VR Little Endian of
    application/dicom and application/octet-stream, any of the others.
    """
    for wanted in sorted(accepted, key=lambda media: -media.quality):
        fitting = [offer for offer in offers if wanted.quality > 0 and _satisfies(offer, wanted)]
        if fitting:
            takes_any = wanted.parameters.get("transfer-syntax") == "*"
            return min(fitting, key=lambda offer: takes_any and not offer.is_stored)
    there = "; ".join(dict.fromkeys(_in_words(offer) for offer in offers)) or "nothing"
    raise NotAcceptable(
        "This cannot be given in any of the accepted forms.",
        found=f"It can be given as: {there}.",
        todo="Accept one of these, or transfer-syntax=*.",
    )


def _in_words(offer: Offer) -> str:
    syntax = f"; transfer-syntax={offer.syntax}" if offer.syntax else ""
    return f'{MULTIPART}; type="{offer.name}"{syntax}' if offer.is_multipart else f"{offer.name}{syntax}"


def _satisfies(offer: Offer, wanted: MediaType) -> bool:
    name, syntax = wanted.name, wanted.parameters.get("transfer-syntax")
    if name in (ANY, "*"):
        return True
    if name in (MULTIPART, "multipart/*"):
        if not offer.is_multipart:
            return False
        name = wanted.parameters.get("type", ANY).lower()
        parts = parse_media_types(name)
        name = parts[0].name if parts else ANY
        syntax = syntax or (parts[0].parameters.get("transfer-syntax") if parts else None)
    elif offer.is_multipart:
        return False
    return _name_fits(offer, SYNONYMS.get(name, name), syntax) and _syntax_fits(offer, name, syntax)


def _name_fits(offer: Offer, name: str, syntax: str | None) -> bool:
    if name == ANY or name == offer.name or (name.endswith("/*") and offer.name.startswith(name[:-1])):
        return True
    # Viewers ask for compressed frames as octets with their transfer syntax, or any.
    return name == OCTETS and bool(offer.syntax) and syntax in ("*", offer.syntax)


def _syntax_fits(offer: Offer, name: str, syntax: str | None) -> bool:
    if syntax == "*" or not offer.syntax:
        return True
    if syntax:
        return syntax == offer.syntax
    return name not in (DICOM, OCTETS) or offer.syntax == EXPLICIT_LITTLE


def compressed_type(transfer_syntax_uid: str) -> str:
    """The media type of frames that are compressed in this way."""
    if transfer_syntax_uid in COMPRESSED_TYPES:
        return COMPRESSED_TYPES[transfer_syntax_uid]
    if transfer_syntax_uid.startswith(MPEG2):
        return "video/mpeg2" if transfer_syntax_uid.split(".")[7] in ("100", "101") else "video/mp4"
    return OCTETS
