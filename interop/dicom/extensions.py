"""Extended negotiation (PS3.7 D.3.3.5, D.3.3.6): what of it is agreed upon, and what a class is a kind of. Pure.

Query/Retrieve (PS3.4 C.5): of the bits of C.5.1.1 those that are served are answered with 1 where they were asked for.
Storage (PS3.4 B.3.1): all attributes are kept (level 2); objects may leave under the patient's data as they are here,
so signatures may not hold (signature level 1) and elements may be coerced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

STORAGE_SERVICE = "1.2.840.10008.4.2"
#: Stands for a class of storage that nobody here knows, when no known one is named as its general class.
RAW_DATA = "1.2.840.10008.5.1.4.1.1.66"
PATIENT_ROOT, STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.1", "1.2.840.10008.5.1.4.1.2.2"
FIND, MOVE, GET = ".1", ".2", ".3"
#: Relational queries, combined date and time, fuzzy matching of names, time zone, enhanced conversion (C.5.1.1.1)
OF_FIND = (1, 1, 0, 0, 0)
#: Relational retrieval, enhanced conversion (C.5.2.1.1, C.5.3.1.1)
OF_RETRIEVE = (1, 0)
OF_STORAGE = bytes([2, 0, 1, 0, 1, 0])
SERVED = {
    root + kind: served
    for root in (PATIENT_ROOT, STUDY_ROOT)
    for kind, served in ((FIND, OF_FIND), (MOVE, OF_RETRIEVE), (GET, OF_RETRIEVE))
}


def agreed(sop_class_uid: str, asked: bytes, *, is_stored: bool) -> bytes:
    """The service class application information to answer with; empty: no answer, the extension is not agreed upon."""
    if is_stored:
        return OF_STORAGE[: len(asked)]
    served = SERVED.get(sop_class_uid, ())
    return bytes(int(bit == 1 and may) for bit, may in zip(asked, served, strict=False))


def is_relational(sop_class_uid: str, agreed_upon: bytes) -> bool:
    """Whether an identifier may leave out the unique keys of the levels above its own."""
    return sop_class_uid in SERVED and agreed_upon[:1] == b"\1"


def general_class(common: Mapping[str, Common], sop_class_uid: str, is_stored: Callable[[str], bool]) -> str | None:
    """The storage class that an unknown one is handled as, when its requestor says that it is one (D.3.3.6)."""
    told = common.get(sop_class_uid)
    if told is None or told[0] != STORAGE_SERVICE:
        return None
    return next((uid for uid in (*told[1], RAW_DATA) if is_stored(uid)), None)


#: (service class, related general SOP classes) of a SOP class
Common = tuple[str, tuple[str, ...]]
