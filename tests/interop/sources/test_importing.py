"""Both of Pylantir's configurations become sources that read what Pylantir read, and say what has no place here."""

from __future__ import annotations

import json
from datetime import datetime, time
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command

from interop.models import Source
from interop.sources.importing import drafts_of, import_sources
from interop.sources.mapping import checked_mapping, entry_of
from interop.sources.plugin import checked_settings, plugin_of
from interop.sources.secrets import secrets_of
from ris.core.actor import SYSTEM
from ris.core.errors import InvalidData

ENVIRONMENT = {
    "REDCAP_API_URL": "https://redcap.example.org/api/", "REDCAP_API_TOKEN": "T" * 32,
    "REDCAP_API_TOKEN_793": "S" * 32, "CALPENDO_USERNAME": "reader", "CALPENDO_PASSWORD": "hidden",
}  # fmt: skip
OLDER = {
    "db_path": "/path/to/worklist.db",
    "db_update_interval": 60,
    "allowed_aet": ["MRI_SCANNER"],
    "operation_interval": {"start_time": [22, 0], "end_time": [6, 0]},
    "mri_visit_session_mapping": {"t1_arm_1": "1", "t2_arm_1": "2"},
    "site": "792",
    "redcap2wl": {
        "study_id": "study_id", "family_id": "family_id", "youth_dob_y": "youth_dob_y", "t1_date": "t1_date",
        "demo_sex": "demo_sex", "scheduled_date": "scheduled_start_date", "scheduled_time": "scheduled_start_time",
        "mri_wt_lbs": "patient_weight_lb", "referring_physician": "referring_physician_name",
        "performing_physician": "performing_physician", "station_name": "station_name",
        "status": "performed_procedure_step_status",
    },
    "protocol": {"792": "BRAIN_MRI_3T"},
    "api": {"cors_allowed_origins": ["http://localhost:3000"]},
}  # fmt: skip
NEWER = {
    "allowed_aet": [],
    "data_sources": [
        {
            "name": "main_redcap", "type": "redcap", "enabled": True, "sync_interval": 60,
            "operation_interval": {"start_time": [8, 0], "end_time": [18, 0]},
            "config": {"site_id": "792", "protocol": {"792": "BRAIN_MRI_3T", "mapping": "GEHC"}},
            "field_mapping": {
                "study_id": "study_id", "mri_instance": "session_id", "family_id": "family_id",
                "youth_dob_y": "patient_birth_date", "demo_sex": "patient_sex", "mri_date": "scheduled_start_date",
                "mri_time": "scheduled_start_time",
            },
        },
        {
            "name": "site_b_redcap", "type": "redcap", "enabled": False, "sync_interval": 120,
            "config": {"site_id": "793", "protocol": "BRAIN_MRI_1.5T"},
            "field_mapping": {"study_id": "study_id", "mri_date": "scheduled_start_date"},
        },
        {
            "type": "calpendo", "enabled": True,
            "operation_interval": {"start_time": [0, 0], "end_time": [23, 59]},
            "config": {
                "base_url": "https://sfc.calpendo.example", "resources": ["3T Diagnostic", "EEG Lab"],
                "status_filter": "Approved", "lookback_multiplier": 3, "timezone": "America/Edmonton",
                "resource_modality_mapping": {"3T": "MR", "EEG": "EEG"}, "allowed_studies": ["BRISKP"],
                "window_mode": "today",
                "field_mapping": {
                    "patient_id": {
                        "source_field": "title", "_extract": {"pattern": "^([A-Z0-9]+)_.*", "group": 1},
                    },
                    "patient_name": {
                        "source_field": "title", "_extract": {"pattern": "^[A-Z0-9]+_(.+)$", "group": 1},
                    },
                    "study_description": {
                        "source_field": "properties.project.formattedName",
                        "_extract": {"pattern": "^([^(]+)", "group": 1},
                    },
                    "accession_number": "id", "study_instance_uid": "id",
                },
            },
        },
    ],
}  # fmt: skip
CLOCK = ZoneInfo("Africa/Nairobi")


def test_the_older_form(alpha):
    (done,) = import_sources(OLDER, environment=ENVIRONMENT, actor=SYSTEM)
    source = done.source
    assert (source.kind, source.interval_seconds, source.is_active) == ("redcap", 60, True)
    assert (source.opens_at, source.closes_at) == (time(22), time(6))
    assert source.config["events"] == ["t1_arm_1", "t2_arm_1"] and secrets_of(source) == {"token": "T" * 32}
    assert any("MRI_SCANNER" in note for note in done.notes) and any("performing_physician" in n for n in done.notes)
    row = {
        "study_id": "CPIP-0017", "family_id": "F-9", "redcap_event_name": "t2_arm_1", "youth_dob_y": "2012",
        "demo_sex": "2", "demo_sex:label": "Female", "scheduled_date": "2026-12-01", "scheduled_time": "10:30",
        "mri_wt_lbs": "100", "referring_physician": "Otieno^Paul", "status": "SCHEDULED",
    }  # fmt: skip
    entry, errors = entry_of(source.mapping, row, CLOCK)
    assert errors == {}
    assert entry.patient_id == "sub-0017_ses-2_fam-9_site-792"
    assert (entry.family_name, entry.given_name) == ("cpip-id-0017", "fa-9")
    assert entry.birth_date.isoformat() == "2012-01-01" and entry.birth_date_is_estimated and entry.sex == "F"
    assert (entry.modality, entry.code, entry.protocol) == ("MR", "BRAIN_MRI_3T", "BRAIN_MRI_3T")
    assert entry.starts_at == datetime(2026, 12, 1, 10, 30, tzinfo=CLOCK) and str(entry.weight_kg) == "45.36"
    assert entry_of(source.mapping, {**row, "status": "DISCONTINUED"}, CLOCK)[0].status == "cancelled"
    with pytest.raises(InvalidData, match="exists"):
        import_sources(OLDER, environment=ENVIRONMENT, actor=SYSTEM)
    (again,) = import_sources(OLDER, environment={}, replaces=True, actor=SYSTEM)
    assert not again.is_new and secrets_of(again.source) == {"token": "T" * 32}


def test_the_newer_form(alpha):
    main, second, bookings = (one.source for one in import_sources(NEWER, environment=ENVIRONMENT, actor=SYSTEM))
    assert (main.name, main.opens_at, main.closes_at) == ("main_redcap", time(8), time(18))
    assert main.config["instrument"] == "mri" and secrets_of(second) == {"token": "S" * 32} and not second.is_active
    row = {
        "study_id": "CPIP-0017", "family_id": "F-9", "mri_instance": "3", "youth_dob_y": "2012-05-06",
        "demo_sex": "M", "mri_date": "2026-12-01", "mri_time": "10:30",
    }  # fmt: skip
    entry, errors = entry_of(main.mapping, row, CLOCK)
    assert errors == {} and entry.patient_id == "sub_0017_ses_3_fam_9" and entry.code_scheme == "GEHC"
    assert entry.birth_date.isoformat() == "2012-05-06" and not entry.birth_date_is_estimated and entry.sex == "M"
    assert bookings.opens_at == bookings.closes_at and bookings.time_zone == "America/Edmonton"
    assert bookings.config["window"] == "today" and bookings.config["lookback"] == 3
    assert bookings.config["modalities"] == {"3T": "MR", "EEG": "OT"} and bookings.config["projects"] == ["BRISKP"]
    assert secrets_of(bookings) == {"username": "reader", "password": "hidden"}
    booking = {
        "id": "77", "title": "SUB001_Doe", "properties.project.formattedName": "BRISKP (Brain)", "modality": "MR",
        "starts_at": "2026-12-01T10:00:00-07:00", "duration_minutes": "60",
    }  # fmt: skip
    entry, errors = entry_of(bookings.mapping, booking, CLOCK)
    assert errors == {}
    assert (entry.patient_id, entry.family_name, entry.description) == ("SUB001", "Doe", "BRISKP")
    assert entry.accession_number == "77" and entry.study_instance_uid == "" and entry.duration_minutes == 60
    whole = entry_of(bookings.mapping, {**booking, "title": "nobody"}, CLOCK)[0]
    assert whole.patient_id == "nobody", "Pylantir keeps the whole text where the expression does not fit"


def test_without_credentials_they_wait_switched_off(alpha):
    done = import_sources(NEWER, environment={}, actor=SYSTEM)
    assert not any(one.source.is_active for one in done)
    assert any("credentials" in note for note in done[0].notes) and any("REDCAP_API_URL" in n for n in done[0].notes)


@pytest.mark.parametrize(
    "document",
    [
        [], {}, {"data_sources": {}}, {"data_sources": [5]}, {"data_sources": [{"type": "oracle"}]},
        {"data_sources": [{"type": "redcap", "config": []}]}, {"format": "picha-source/1"},
        {"format": "picha-source/1", "name": "x", "kind": "redcap", "schedule": {"opens_at": "late"}},
    ],
)  # fmt: skip
def test_what_is_no_configuration_is_refused(alpha, document):
    with pytest.raises(Exception) as refusal:
        import_sources(document, actor=SYSTEM)
    assert refusal.value.http_status in (400, 404) and Source.objects.count() == 0


def test_every_draft_is_one_that_can_be_kept():
    for document in (OLDER, NEWER):
        documents = {**document, "allowed_aet": []}
        for draft in drafts_of(documents, environment=ENVIRONMENT):
            checked_settings(plugin_of(draft.kind), draft.config)
            checked_mapping(draft.mapping)
    for kind in ("redcap", "calpendo"):
        checked_mapping([dict(rule) for rule in plugin_of(kind).suggestion])


def test_the_command_takes_the_credentials_from_its_environment(alpha, tmp_path, monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "mwl_config.json"
    file.write_text(json.dumps(OLDER))
    call_command("import_sources", str(file), facility="alpha", verbosity=0)
    source = Source.objects.get()
    assert source.is_active and secrets_of(source) == {"token": "T" * 32}
