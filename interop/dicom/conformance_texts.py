"""What the conformance statement says in sentences, and the return types of the standard's worklist table."""

from __future__ import annotations

INTRODUCTION = """# DICOM conformance

What `manage.py run_mwl` does, made from its code (`make docs`; `make lint` compares). The layout is that of
PS3.2 Annex A. `docs/scanner.md` says how to point a scanner at it, `docs/dicomweb.md` what is served over HTTP."""

ADMISSION = """### 4.1 Who is let in

1. The facility is found by the called AE title: upper and lower case count, padding does not; it must be
   registered for the caller's address or client certificate.
2. The peer is found by the calling AE title. The row with exactly this title decides, and when it is not active
   or not allowed from this address, no other does. Without such a row, the most specific active row with
   wildcards (`*`, `?`) that fits title and address.
3. A context is accepted with the first transfer syntax, in the requestor's order, that is taken for its
   abstract syntax. What the peer's row does not allow is answered 0124 when it is asked for.

Every rejection is counted and shown on `/integrations/`, with a link that adds the title as a peer; every
association leaves one row in the administration."""

EXTENDED = (
    "Query/Retrieve: combined matching of date and time (it is always done), relational queries and relational "
    "retrieval are agreed upon, fuzzy matching, time zone and conversion are not. Storage: level 2, signature level 1, "
    "elements may be coerced when an object is sent on"
)
COMMON_EXTENDED = (
    "a class that is not in the tables below is stored when its requestor says that it belongs to the Storage service"
)

RELEASE = (
    "what was asked before is answered first. Whom we let in we never ask for a release, so that two cannot "
    "collide; an answer to a release that nobody asked for is aborted"
)

WORKLIST_TEXT = """Keys match as PS3.4 C.2.2.2 has it. Ranges of date and time together are one interval; a name
is matched without case, by component and group, and a pattern without `=` looks at the alphabetic group. An
empty stored value matches no value. Only requested keys come back, in a sequence asked for as a whole all of
them; private elements are ignored. A step leaves the worklist in the transaction that starts, ends or revokes
it, and keeps its Study Instance UID for ever. What the peer's row hides is not answered, whatever the query
asks.

`manage.py preview_mwl` and `/integrations/worklist/` show what a peer would be answered now, and why an exam is
not in it."""

MPPS_TEXT = """N-CREATE without a SOP Instance UID gets one. Its status must be IN PROGRESS; N-SET may end the
step once. Times are in the facility's zone unless (0008,0201) says otherwise. A step that names no known
scheduled step is accepted and waits for a person. Missing is 0120, empty 0121, a value that PS3.3 does not know
0106, a SOP Instance UID that is none 0117."""

STORAGE_TEXT = """### 4.2.3 Storage

An object is acknowledged when its file is stored as `RIS_DICOM_FSYNC` says and its index row is committed. It
is kept as it came; the preamble is zeroed and the file meta information is ours. An identical object again is a
success and stored once; other content under a known SOP Instance UID is refused, the stored object stays, and a
person is told. PS3.4 B.2.3 has no status for that; ours is of its range "cannot understand", which senders take
as final.

### 4.2.4 Storage commitment, query and retrieve

Storage commitment reports on an association of its own to the peer's host and port, again until it is
delivered. C-FIND, C-MOVE and C-GET answer from the index of stored objects; what was rejected for quality or
safety is not in it."""

LEAVING_TEXT = """### 4.2.5 What is coerced when an object leaves

Of a study that is linked to an exam, and of series that were moved to another study, C-MOVE, C-GET, forwarding
and DICOMweb send what is known now; the stored file stays. Original Attributes Sequence says what was there,
with COERCE for another patient and CORRECT for another exam or study."""

CHARACTER_SET_TEXT = """Every set below is read, with code extensions (ISO 2022). An answer is in the one that
the peer's row names; letters that it has not are transliterated, component groups of names that it has not are
left out. Without (0008,0005) UTF-8 is tried before ISO_IR 100."""

SECURITY = """## 7. Security

TLS 1.2 and 1.3 on a port of its own when `RIS_TLS_CERTIFICATE` is set; client certificates are checked when
`RIS_TLS_CLIENT_CA` is set (PS3.15 B.12). A called AE title may be bound to addresses, to certificates, and to
TLS; one that is registered by its SHA-256 fingerprint is let in from any address, one of an authority that is not
believed ends the handshake (BCP 195; neither older versions nor ciphers without forward secrecy are spoken).
Queries and images that are read leave an audit record (PS3.15 A.5) with the peer's AE title and address.
No name of a patient is logged."""

#: PS3.4 Table K.6-1, by keyword; keys that are not in it are Type 3.
RETURN_TYPES: dict[str, str] = {
    **dict.fromkeys(
        ("ScheduledProcedureStepSequence", "ScheduledStationAETitle", "ScheduledProcedureStepStartDate",
         "ScheduledProcedureStepStartTime", "Modality", "ScheduledProcedureStepID", "RequestedProcedureID",
         "StudyInstanceUID", "PatientName", "PatientID", "CodeValue", "CodingSchemeDesignator",
         "ReferencedSOPClassUID", "ReferencedSOPInstanceUID"),
        "1",
    ),
    **dict.fromkeys(
        ("ScheduledProcedureStepDescription", "ScheduledProtocolCodeSequence", "RequestedProcedureDescription",
         "RequestedProcedureCodeSequence"),
        "1C",
    ),
    **dict.fromkeys(
        ("ScheduledPerformingPhysicianName", "ScheduledStationName", "ScheduledProcedureStepLocation",
         "ReferencedStudySequence", "RequestedProcedurePriority", "PatientTransportArrangements", "AccessionNumber",
         "RequestingPhysician", "ReferringPhysicianName", "AdmissionID", "CurrentPatientLocation",
         "ReferencedPatientSequence", "PatientBirthDate", "PatientSex", "PatientWeight",
         "ConfidentialityConstraintOnPatientDataDescription", "PatientState", "PregnancyStatus", "MedicalAlerts",
         "Allergies", "SpecialNeeds"),
        "2",
    ),
    **dict.fromkeys(("PreMedication", "RequestedContrastAgent"), "2C"),
}  # fmt: skip
