"""The storage SOP classes and transfer syntaxes that are taken: all of pydicom's dictionary, retired ones too. Pure."""

from __future__ import annotations

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    UID_dictionary,
)

from interop.dicom.elements import BIG_ENDIAN, EXPLICIT, IMPLICIT, Encoding

UNCOMPRESSED = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian), str(ExplicitVRBigEndian))
#: Called storage, but of no study: media directories, services, and what belongs to no patient.
NOT_STORED = (
    "Media Storage Directory",
    "Storage Commitment",
    "Storage Management",
    "Hanging Protocol",
    "Color Palette",
    "Implant",
    "Defined Procedure Protocol",
    "Protocol Approval",
    "Inventory",
    "Stored Print",
    "Substance",
)
#: Newer than the dictionary.
ALSO_STORED = (
    "1.2.840.10008.5.1.4.1.1.9.100.1",
    "1.2.840.10008.5.1.4.1.1.9.100.2",
    "1.2.840.10008.5.1.4.1.1.66.7",
    "1.2.840.10008.5.1.4.1.1.66.8",
)
#: RFC 2557 and XML encodings, Papyrus, and SMPTE 2110 streams are no files.
NOT_SYNTAXES = frozenset({"1.2.840.10008.1.2.6.1", "1.2.840.10008.1.2.6.2", "1.2.840.10008.1.20"})
SMPTE = "1.2.840.10008.1.2.7."
JPIP_DEFLATED = frozenset({"1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})


def _storage_classes() -> tuple[str, ...]:
    known = [
        uid
        for uid, (name, kind, *_rest) in UID_dictionary.items()
        if kind == "SOP Class" and "Storage" in name and not any(word in name for word in NOT_STORED)
    ]
    return tuple(dict.fromkeys((*known, *ALSO_STORED)))


def _transfer_syntaxes() -> tuple[str, ...]:
    known = [
        uid
        for uid, (_name, kind, *_rest) in UID_dictionary.items()
        if kind == "Transfer Syntax" and uid not in NOT_SYNTAXES and not uid.startswith(SMPTE)
    ]
    return (*UNCOMPRESSED, *(uid for uid in known if uid not in UNCOMPRESSED))


STORAGE_CLASSES = _storage_classes()
STORAGE_SYNTAXES = _transfer_syntaxes()


def encoding_of(transfer_syntax_uid: str) -> Encoding:
    """How a data set of this syntax writes its elements (inside of the deflate stream, where it is deflated)."""
    if transfer_syntax_uid == ImplicitVRLittleEndian:
        return IMPLICIT
    return BIG_ENDIAN if transfer_syntax_uid == ExplicitVRBigEndian else EXPLICIT


def is_deflated(transfer_syntax_uid: str) -> bool:
    return transfer_syntax_uid == DeflatedExplicitVRLittleEndian or transfer_syntax_uid in JPIP_DEFLATED
