"""What the service can do, as JSON and as WADL (PS3.18 8.9 and Annex H). Pure."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import quoteattr

from interop.dicom.query_keys import ONLY_TOLD, Level
from interop.dicom.sop_classes import STORAGE_CLASSES, STORAGE_SYNTAXES
from interop.dicomweb.matching import MAX_RESULTS, TOLD, keyword
from interop.dicomweb.media import COMPRESSED_TYPES, DICOM, DICOM_JSON, DICOM_XML, MULTIPART, OCTETS

WADL = "application/vnd.sun.wadl+xml"
MODELS = (DICOM_JSON, f'{MULTIPART}; type="{DICOM_XML}"')
FRAMES = (
    f'{MULTIPART}; type="{OCTETS}"',
    *(f'{MULTIPART}; type="{name}"' for name in sorted(set(COMPRESSED_TYPES.values()))),
)
OBJECTS = (f'{MULTIPART}; type="{DICOM}"', DICOM)
PICTURES = ("image/jpeg", "image/png")

#: (method, address, transaction, media types)
TRANSACTIONS = (
    ("GET", "wado", "RetrieveByUri", (DICOM, *PICTURES)),
    ("GET", "studies", "SearchForStudies", MODELS),
    ("POST", "studies", "StoreInstances", MODELS),
    ("GET", "series", "SearchForSeries", MODELS),
    ("GET", "instances", "SearchForInstances", MODELS),
    ("GET", "studies/{study}", "RetrieveStudy", OBJECTS[:1]),
    ("POST", "studies/{study}", "StoreStudyInstances", MODELS),
    ("GET", "studies/{study}/metadata", "RetrieveStudyMetadata", MODELS),
    ("GET", "studies/{study}/rendered", "RetrieveRenderedStudy", PICTURES),
    ("GET", "studies/{study}/thumbnail", "RetrieveStudyThumbnail", PICTURES),
    ("GET", "studies/{study}/series", "SearchForStudySeries", MODELS),
    ("GET", "studies/{study}/instances", "SearchForStudyInstances", MODELS),
    ("GET", "studies/{study}/series/{series}", "RetrieveSeries", OBJECTS[:1]),
    ("GET", "studies/{study}/series/{series}/metadata", "RetrieveSeriesMetadata", MODELS),
    ("GET", "studies/{study}/series/{series}/rendered", "RetrieveRenderedSeries", PICTURES),
    ("GET", "studies/{study}/series/{series}/thumbnail", "RetrieveSeriesThumbnail", PICTURES),
    ("GET", "studies/{study}/series/{series}/instances", "SearchForStudySeriesInstances", MODELS),
    ("GET", "studies/{study}/series/{series}/instances/{instance}", "RetrieveInstance", OBJECTS),
    ("GET", "studies/{study}/series/{series}/instances/{instance}/metadata", "RetrieveInstanceMetadata", MODELS),
    ("GET", "studies/{study}/series/{series}/instances/{instance}/rendered", "RetrieveRenderedInstance", PICTURES),
    ("GET", "studies/{study}/series/{series}/instances/{instance}/thumbnail", "RetrieveInstanceThumbnail", PICTURES),
    ("GET", "studies/{study}/series/{series}/instances/{instance}/frames/{frames}", "RetrieveFrames", FRAMES),
    (
        "GET",
        "studies/{study}/series/{series}/instances/{instance}/frames/{frames}/rendered",
        "RetrieveRenderedFrames",
        PICTURES,
    ),
    (
        "GET",
        "studies/{study}/series/{series}/instances/{instance}/frames/{frames}/thumbnail",
        "RetrieveFrameThumbnail",
        PICTURES,
    ),
    ("GET", "studies/{study}/series/{series}/instances/{instance}/bulkdata/{path}", "RetrieveBulkdata", FRAMES),
)


def as_json(base: str) -> dict[str, Any]:
    return {
        "base": base,
        "transactions": [
            {"method": method, "path": f"/{path}", "name": name, "media_types": list(types)}
            for method, path, name, types in TRANSACTIONS
        ],
        "search": {
            level.name.lower(): [
                {"tag": f"{tag:08X}", "keyword": keyword(tag), "is_matched": name not in ONLY_TOLD}
                for tag, (of_level, name) in sorted(TOLD.items())
                if of_level <= level
            ]
            for level in (Level.STUDY, Level.SERIES, Level.IMAGE)
        },
        "max_results": MAX_RESULTS,
        "sop_classes": sorted(STORAGE_CLASSES),
        "transfer_syntaxes": sorted(STORAGE_SYNTAXES),
    }


def as_wadl(base: str) -> bytes:
    resources: dict[str, list[str]] = {}
    for method, path, name, types in TRANSACTIONS:
        request = f"<request><representation mediaType={quoteattr(OBJECTS[0])}/></request>" if method == "POST" else ""
        answers = "".join(f"<representation mediaType={quoteattr(media)}/>" for media in types)
        resources.setdefault(path, []).append(
            f'<method name="{method}" id="{name}">{request}<response>{answers}</response></method>'
        )
    listed = "".join(f'<resource path="{path}">{"".join(methods)}</resource>' for path, methods in resources.items())
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<application xmlns="http://wadl.dev.java.net/2009/02">'
        f"<resources base={quoteattr(base)}>{listed}</resources></application>"
    ).encode()
