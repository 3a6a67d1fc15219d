"""A REDCap and a Calpendo of our own, and sources that read them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interop.hl7.services import allow_host
from interop.models import Source
from interop.sources.services import save_source
from ris.core.actor import SYSTEM
from tests.interop.sources.calpendo_server import CalpendoHandler, CalpendoServer
from tests.interop.sources.redcap_server import TOKEN, RedCapHandler, RedCapServer, serving

MAPPING = [
    {"target": "patient_id", "template": "sub-{record_id}"},
    {"target": "issuer", "default": "STUDY"},
    {"target": "patient_name", "template": "{last_name}^{first_name}"},
    {"target": "birth_date", "source": "dob"},
    {"target": "sex", "source": "sex:label"},
    {"target": "weight_lb", "source": "weight_lb"},
    {"target": "start_date", "source": "mri_date"},
    {"target": "start_time", "source": "mri_time"},
    {"target": "modality", "default": "MR"},
    {"target": "code", "default": "BRAIN_MRI_3T"},
    {"target": "code_scheme", "default": "GEHC"},
    {"target": "station", "source": "station"},
    {"target": "status", "source": "visit_status"},
]


@pytest.fixture(scope="module")
def redcap_house() -> Iterator[tuple[RedCapServer, str]]:
    state = RedCapServer()
    with serving(state, RedCapHandler) as url:
        yield state, url


@pytest.fixture
def redcap(redcap_house) -> RedCapServer:
    """An empty project of a study with its usual fields."""
    state = redcap_house[0]
    state.__init__()
    for name in ("last_name", "first_name", "dob", "mri_date", "mri_time", "weight_lb", "station", "visit_status"):
        state.field(name)
    state.field("sex", "radio", "1, Male | 2, Female")
    return state


@pytest.fixture
def source(alpha, redcap_house, redcap) -> Source:
    allow_host("127.0.0.1", actor=SYSTEM)
    return save_source(
        name="study",
        kind="redcap",
        config={"url": f"{redcap_house[1]}/api/", "required": ["mri_date"], "batch": 3},
        secrets={"token": TOKEN},
        mapping=MAPPING,
        interval_seconds=60,
        time_zone="Africa/Nairobi",
        time_limit_seconds=200,
        actor=SYSTEM,
    )


@pytest.fixture(scope="module")
def calpendo_house() -> Iterator[tuple[CalpendoServer, str]]:
    state = CalpendoServer()
    with serving(state, CalpendoHandler) as url:
        yield state, url


@pytest.fixture
def calpendo(calpendo_house) -> CalpendoServer:
    state = calpendo_house[0]
    state.__init__()
    return state


@pytest.fixture
def bookings(alpha, calpendo_house, calpendo) -> Source:
    allow_host("127.0.0.1", actor=SYSTEM)
    return save_source(
        name="bookings",
        kind="calpendo",
        config={
            "base_url": calpendo_house[1],
            "resources": ["3T Diagnostic", "EEG Lab"],
            "modalities": {"3T": "MR", "EEG": "OT"},
            "horizon_hours": 48,
        },
        secrets={"username": "picha", "password": "s3cret"},
        interval_seconds=3600,
        time_zone="America/Edmonton",
        time_limit_seconds=200,
        actor=SYSTEM,
    )
