"""DCMTK's own tools as the scanner: findscu, storescu, echoscu over TLS."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from django.utils import timezone
from pydicom.data.data_manager import DATA_ROOT

from interop.dicom.server import Limits, Server, ServerSettings
from ris.tenants.models import CalledAETitle
from worklist.models import ImagingInstance, ImagingStudy

from .conftest import schedule

SHIPPED = Path(DATA_ROOT) / "test_files"
pytestmark = pytest.mark.dcmtk


def find(scp, dcmtk, tmp_path, *keys: str, title: str = "CT1", called: str = "ALPHA"):
    arguments = [part for key in keys for part in ("-k", key)]
    where = ["-aet", title, "-aec", called, "127.0.0.1", str(scp.port)]
    return dcmtk("findscu", "-v", "-W", "-X", "-od", str(tmp_path), *arguments, *where)


def test_findscu_with_date_modality_and_station_gets_the_item_once(scp, dcmtk, tmp_path):
    procedure = schedule("CT1")
    today = f"{timezone.localdate():%Y%m%d}"
    step = "ScheduledProcedureStepSequence[0]."
    keys = (
        f"{step}ScheduledStationAETitle=CT1",
        f"{step}Modality=CT",
        f"{step}ScheduledProcedureStepStartDate={today}",
        f"{step}ScheduledProcedureStepStartTime=",
        "AccessionNumber=",
        "PatientName=",
        "PatientID=",
        "StudyInstanceUID=",
    )
    answer = find(scp, dcmtk, tmp_path, *keys)
    assert answer.returncode == 0, answer.stderr
    [found] = list(tmp_path.glob("rsp*.dcm"))
    dump = dcmtk("dcmdump", str(found)).stdout
    assert procedure.accession_number in dump
    assert procedure.study_instance_uid in dump
    found.unlink()
    other = find(scp, dcmtk, tmp_path, *(key.replace("=CT1", "=CT2") for key in keys), title="CT2")
    assert other.returncode == 0
    assert list(tmp_path.glob("rsp*.dcm")) == []
    tomorrow = f"{timezone.localdate() + datetime.timedelta(days=1):%Y%m%d}"
    find(scp, dcmtk, tmp_path, *(key.replace(today, tomorrow) for key in keys))
    assert list(tmp_path.glob("rsp*.dcm")) == []


@pytest.mark.parametrize("called", ["../alpha", "NOBODY", "BETA"])
def test_findscu_under_a_foreign_title_is_rejected(scp, dcmtk, tmp_path, called):
    schedule("CT1")
    answer = find(scp, dcmtk, tmp_path, "PatientName=", called=called)
    assert answer.returncode != 0
    assert "Rejected" in answer.stdout + answer.stderr
    assert list(tmp_path.glob("rsp*.dcm")) == []


def test_storescu_sends_ct_mr_and_multi_frame(scp, dcmtk):
    files = [str(SHIPPED / name) for name in ("CT_small.dcm", "MR_small.dcm", "rtdose.dcm", "test-SR.dcm")]
    where = ["-aet", "CT1", "-aec", "ALPHA", "127.0.0.1", str(scp.port)]
    answer = dcmtk("storescu", "-v", *where, *files)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert ImagingInstance.objects.count() == 4
    assert ImagingInstance.objects.get(sop_class_uid="1.2.840.10008.5.1.4.1.1.481.2").frames == 15
    assert dcmtk("storescu", "-v", *where, *files).returncode == 0
    assert ImagingInstance.objects.count() == 4


@pytest.mark.parametrize(
    ("name", "option"),
    [("JPEG2000.dcm", "-xw"), ("SC_rgb_jpeg_dcmtk.dcm", "-xy"), ("MR_small_jpeg_ls_lossless.dcm", "-xt"),
     ("MR_small_RLE.dcm", "-xr"), ("image_dfl.dcm", "-xd"), ("MR_small_bigendian.dcm", "-xb")],
)  # fmt: skip
def test_storescu_sends_compressed_deflated_and_big_endian(scp, dcmtk, name, option):
    where = ["-aet", "CT1", "-aec", "ALPHA", "127.0.0.1", str(scp.port)]
    answer = dcmtk("storescu", "-v", option, *where, str(SHIPPED / name))
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert ImagingStudy.objects.get().instance_count == 1


def certificate(tmp_path: Path, name: str) -> tuple[Path, Path, str]:
    """A self-signed certificate: its file, its key's, and its SHA-256 fingerprint."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = tmp_path / f"{name}.crt", tmp_path / f"{name}.key"
    certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    key_file.write_bytes(key.private_bytes(*form))
    return certificate_file, key_file, made.fingerprint(hashes.SHA256()).hex()


def test_tls_with_a_client_certificate(scp, dcmtk, tmp_path, settings):
    ours, our_key, _fingerprint = certificate(tmp_path, "server")
    theirs, their_key, fingerprint = certificate(tmp_path, "scanner")
    settings.RIS_TLS_CERTIFICATE, settings.RIS_TLS_KEY = str(ours), str(our_key)
    settings.RIS_TLS_CLIENT_CA = str(theirs)
    server = Server(ServerSettings(tls_port=0, limits=Limits(request_seconds=3)))
    server.start()
    try:
        CalledAETitle.objects.filter(ae_title="ALPHA").update(
            require_tls=True, allowed_addresses=[], certificate_fingerprints=[fingerprint]
        )
        common = ["-v", "-aet", "CT1", "-aec", "ALPHA"]
        with_certificate = ["+tls", str(their_key), str(theirs), "+cf", str(ours), "127.0.0.1", str(server.tls_port)]
        without = ["+tla", "+cf", str(ours), "127.0.0.1", str(server.tls_port)]
        good = dcmtk("echoscu", *common, *with_certificate)
        assert good.returncode == 0, good.stdout + good.stderr
        assert "Called AE Title Not Recognized" in str(dcmtk("echoscu", *common, *without))
        assert "Called AE Title Not Recognized" in str(dcmtk("echoscu", *common, "127.0.0.1", str(server.port)))
        assert dcmtk("echoscu", *common, "127.0.0.1", str(server.tls_port)).returncode != 0
    finally:
        server.stop(3)
