"""Is the imaging network ready? By command and on a page; what is broken is named with what to do."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.core.management import call_command
from django.urls import reverse

from interop.dicom.readiness import BROKEN, FINE, WARNING, Finding, check_readiness
from ris.audit.models import AuditEvent
from ris.core.actor import SYSTEM
from ris.tenants.models import RefusedConnection
from tests.factories.accounts import user_with_roles

from .conftest import make_peer, make_station, schedule


def findings() -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for row in check_readiness(actor=SYSTEM):
        found.setdefault(row.subject, []).append(row)
    return found


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_house_that_is_ready_says_so(scp, settings):
    settings.RIS_DICOM_PORT = scp.port
    schedule("CT1")
    make_peer("ALPHA", may_query=True, host="127.0.0.1", port=scp.port)  # we call ourselves, as any archive
    found = findings()
    assert [row.level for row in found["Listener"] + found["Storage"] + found["Clock"]] == [FINE] * 3
    assert found["Peer ALPHA"][0] == Finding("Peer ALPHA", FINE, "It answers an echo.")
    assert found["Worklist of CT1"][0].words.startswith("1 item today")
    assert "Stations" not in found and "Turned away" not in found
    assert AuditEvent.objects.filter(event_type="interop.check_readiness").exists()


@pytest.mark.usefixtures("alpha")
def test_what_is_wrong_is_named_with_what_to_do(settings, tmp_path):
    settings.RIS_DICOM_PORT = closed_port()
    settings.RIS_INSTANCE_FOLDER = tmp_path / "file"
    settings.RIS_INSTANCE_FOLDER.write_text("no folder")
    make_station("CT1")
    make_station("CT2")
    make_peer("CT2", may_query_worklist=False)
    make_peer("PACS", host="127.0.0.1", port=closed_port())
    make_peer("MR*")
    RefusedConnection.objects.create(
        kind="dicom", called="ALPHA", calling="CT9", address="10.0.0.9", reason="calling_ae_not_allowed"
    )
    found = findings()
    broken = {subject for subject, rows in found.items() if any(row.level == BROKEN for row in rows)}
    assert broken == {"Listener", "Storage", "Peer PACS"}
    assert {row.words for row in found["Stations"]} == {
        "CT1 may not call: it has no active peer.", "CT2 may not query the worklist.",
    }  # fmt: skip
    assert "MR* lets every such title in" in found["Peers"][0].words
    assert "CT9 called ALPHA from 10.0.0.9" in found["Turned away"][0].words
    assert all(row.todo for rows in found.values() for row in rows if row.level != FINE)


@pytest.mark.usefixtures("alpha")
@pytest.mark.parametrize(("days", "level"), [(400, FINE), (10, WARNING), (-2, BROKEN)])
def test_a_certificate_that_runs_out_is_told_in_time(settings, tmp_path, days, level):
    settings.RIS_DICOM_TLS_PORT = settings.RIS_DICOM_PORT = closed_port()
    settings.RIS_TLS_CERTIFICATE = str(tmp_path / "chain.pem")
    (tmp_path / "chain.pem").write_bytes(certificate(days))
    assert findings()["TLS certificate"][0].level == level
    settings.RIS_TLS_CERTIFICATE = str(tmp_path / "none.pem")
    assert findings()["TLS certificate"][0].level == BROKEN


def certificate(days: int) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ris")])
    ends = datetime.now(UTC) + timedelta(days=days, hours=1)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(ends - timedelta(days=500)).not_valid_after(ends)
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.mark.usefixtures("alpha")
def test_the_command_and_the_page_say_the_same(settings, tclient):
    settings.RIS_DICOM_PORT = closed_port()
    told = json.loads(call_command("check_dicom", facility="alpha"))
    assert told["is_ready"] is False
    with pytest.raises(SystemExit):
        call_command("check_dicom", facility="alpha", strict=True)
    tclient.force_login(user_with_roles("it_admin"))
    page = reverse("dicom_readiness")
    assert "Nothing was checked yet." in tclient.get(page).content.decode()
    assert "Nobody listens on" in tclient.post(page).content.decode()
    tclient.force_login(user_with_roles("technologist"))
    assert tclient.post(page).status_code == 403
