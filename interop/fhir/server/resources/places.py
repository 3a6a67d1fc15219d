"""Organization (the facility and its sites), Location (rooms) and Endpoint (our DICOMweb)."""

from __future__ import annotations

from django.db import connection
from django.db.models import Q, QuerySet

from interop.fhir.server.call import Resource, Version, public_address
from interop.fhir.server.params import Flag, Identifier, Reference, String, To, Token
from interop.fhir.server.registry import ResourceType, Source, register
from interop.fhir.server.resources.common import DCM, address, coded, coding, identifier, kept, ref, telecoms
from interop.fhir.server.versions import RowVersions
from ris.accounts.models import Site
from ris.accounts.permissions import VIEW_PRACTITIONER, VIEW_SITE
from ris.core.actor import Actor
from ris.tenants.models import Facility
from worklist.models import Room
from worklist.permissions import VIEW_ROOM, VIEW_STUDY

SITE_CODE, ROOM_CODE, AE_TITLE = "urn:picha:site", "urn:picha:room", "urn:picha:ae-title"
ORGANIZATION_TYPES = "http://terminology.hl7.org/CodeSystem/organization-type"
CONNECTIONS = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"


def this_facility(actor: Actor) -> QuerySet:
    return Facility.objects.filter(schema_name=connection.schema_name)


def _sites(actor: Actor) -> QuerySet:
    return Site.objects.all()


def _rooms(actor: Actor) -> QuerySet:
    return Room.objects.all()


def _as_they_are(rows: QuerySet) -> QuerySet:
    return rows


def facility(row: Facility, version: Version) -> Resource:
    return kept(
        identifier=[identifier(AE_TITLE, row.ae_title)],
        active=row.is_active,
        type=[coded(ORGANIZATION_TYPES, "prov", "Healthcare Provider")],
        name=row.name,
        alias=[row.short_name] if row.short_name else [],
        endpoint=[ref("Endpoint", row.uuid)],
    )


def site(row: Site, version: Version) -> Resource:
    """R5 has moved telecom and address into ``contact``."""
    contact = kept(telecom=telecoms(row.phone, ""), address=address(row.address))
    owner = getattr(connection, "tenant", None)
    made = kept(
        identifier=[identifier(SITE_CODE, row.code)],
        active=row.is_active,
        type=[coded(ORGANIZATION_TYPES, "dept", "Hospital Department")],
        name=row.name,
        partOf=ref("Organization", getattr(owner, "uuid", None)),
    )
    if version.is_r5:
        return made | kept(contact=[{**contact, "address": contact["address"][0]}] if "address" in contact else [])
    return made | contact


def room(row: Room, version: Version) -> Resource:
    stations = [one for one in row.stations.all() if one.is_active]
    made = kept(
        identifier=[identifier(ROOM_CODE, row.code), *(identifier(AE_TITLE, one.ae_title) for one in stations)],
        status="active" if row.is_active else "inactive",
        name=row.name,
        mode="instance",
        type=[coded(DCM, modality) for modality in sorted({one.modality for one in stations})],
        managingOrganization=ref("Organization", row.site.uuid, row.site.name) if row.site else None,
    )
    form = coded("http://terminology.hl7.org/CodeSystem/location-physical-type", "ro", "Room")
    return made | ({"form": form} if version.is_r5 else {"physicalType": form})


def dicomweb(row: Facility, version: Version) -> Resource:
    """One endpoint for all studies: QIDO-RS, WADO-RS and STOW-RS below one address."""
    kind = coding(CONNECTIONS, "dicom-wado-rs", "DICOM WADO-RS")
    payload = coded("http://terminology.hl7.org/CodeSystem/endpoint-payload-type", "any", "Any")
    made = kept(
        status="active",
        name=f"{row.name}: DICOMweb",
        managingOrganization=ref("Organization", row.uuid, row.name),
        address=public_address("/dicomweb"),
    )
    if version.is_r5:
        mimes = ["application/dicom", "application/dicom+json"]
        return made | {"connectionType": [{"coding": [kind]}], "payload": [{"type": [payload], "mimeType": mimes}]}
    return made | {"connectionType": kind, "payloadType": [payload], "payloadMimeType": ["application/dicom"]}


ORGANIZATION = register(
    ResourceType(
        "Organization",
        (VIEW_SITE, VIEW_PRACTITIONER),
        (
            Source(
                Facility,
                this_facility,
                _as_they_are,
                facility,
                (
                    Identifier("identifier", columns={AE_TITLE: "ae_title"}),
                    String("name", at=("name", "short_name"), sort="name"),
                    Flag("active", is_true=Q(is_active=True)),
                    Reference("endpoint", to=(To("Endpoint", "pk"),)),
                ),
                updated="",
            ),
            Source(
                Site,
                _sites,
                _as_they_are,
                site,
                (
                    Identifier("identifier", columns={SITE_CODE: "code"}),
                    String("name", at=("name",), sort="name"),
                    Flag("active", is_true=Q(is_active=True)),
                ),
            ),
        ),
        doc="The facility, and its sites as parts of it.",
    )
)

LOCATION = register(
    ResourceType(
        "Location",
        (VIEW_ROOM,),
        (
            Source(
                Room,
                _rooms,
                lambda rows: rows.select_related("site").prefetch_related("stations"),
                room,
                (
                    Identifier("identifier", columns={ROOM_CODE: "code"}, doc="The code of the room."),
                    String("name", at=("name",), sort="name"),
                    Token("status", at="is_active", codes={"active": [True], "inactive": [False]}),
                    Token("type", at="stations__modality", system=DCM, many=True, doc="Modality of a station there."),
                    Reference("organization", to=(To("Organization", "site"),)),
                ),
                RowVersions(Room),
            ),
        ),
        doc="Rooms with their stations (AE titles among the identifiers tell the present, in earlier versions too).",
    )
)

ENDPOINT = register(
    ResourceType(
        "Endpoint",
        (VIEW_STUDY,),
        (
            Source(
                Facility,
                this_facility,
                _as_they_are,
                dicomweb,
                (
                    Token("status", at="is_active", codes={"active": [True]}),
                    Reference("organization", to=(To("Organization", "pk"),)),
                ),
                updated="",
            ),
        ),
        doc="Where the images of every ImagingStudy are fetched: DICOMweb.",
    )
)
