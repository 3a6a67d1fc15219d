"""Who is let in and who is not, and what is written down about it."""

from __future__ import annotations

import pytest
from pynetdicom import AE

from interop.dicom.scu import CallFailed
from interop.models import AssociationLog, DicomPeer
from ris.tenants.context import use_facility
from ris.tenants.models import CalledAETitle, RefusedConnection

from .conftest import make_peer


def test_a_known_scanner_is_echoed_and_written_down(scp):
    assert scp.scanner().echo() == 0x0000
    scp.server.stop(3)
    row = AssociationLog.objects.get()
    assert (row.calling_ae_title, row.called_ae_title, row.outcome) == ("CT1", "ALPHA", "released")
    assert row.counts == {"C_ECHO": 1}
    assert row.ended_at >= row.started_at


@pytest.mark.parametrize(
    "called", ["NOBODY", "alpha", "../x", "public", "'; drop--", "ALPHAX", "*", "ALPH?", "template"]
)
def test_a_called_title_that_is_no_facility_is_refused_and_counted(scp, called):
    with pytest.raises(CallFailed, match=r"(?i)called AE title not recogni[sz]ed|called_ae_title"):
        scp.scanner(called=called).echo()
    assert RefusedConnection.objects.get(reason="called_ae_unknown").count == 1
    assert not AssociationLog.objects.exists()


def test_padding_of_a_called_title_means_nothing(scp):
    assert scp.scanner(called="  ALPHA").echo() == 0x0000


def test_an_unknown_scanner_is_refused_and_counted(scp):
    with pytest.raises(CallFailed, match=r"(?i)calling AE title not recogni[sz]ed"):
        scp.scanner("STRANGER").echo()
    row = RefusedConnection.objects.get(reason="calling_ae_not_allowed")
    assert (row.called, row.calling, row.address, row.count) == ("ALPHA", "STRANGER", "127.0.0.1", 1)


def test_a_scanner_of_another_facility_is_a_stranger_here(scp):
    assert scp.scanner("MR9", "BETA").echo() == 0x0000
    with pytest.raises(CallFailed):
        scp.scanner("MR9", "ALPHA").echo()
    with pytest.raises(CallFailed):
        scp.scanner("CT1", "BETA").echo()


def test_a_facility_is_called_only_from_its_registered_addresses(scp):
    CalledAETitle.objects.filter(ae_title="ALPHA").update(allowed_addresses=["10.9.0.0/16"])
    with pytest.raises(CallFailed):
        scp.scanner().echo()
    assert RefusedConnection.objects.get().reason == "address_not_registered"


def test_an_exact_row_decides_before_any_wildcard(scp):
    make_peer("CT*")
    assert scp.scanner("CT77").echo() == 0x0000
    DicomPeer.objects.filter(ae_title="CT1").update(is_active=False)
    with pytest.raises(CallFailed):
        scp.scanner("CT1").echo()
    DicomPeer.objects.filter(ae_title="CT2").update(allowed_addresses=["10.0.0.0/8"])
    with pytest.raises(CallFailed):
        scp.scanner("CT2").echo()


def test_the_most_specific_wildcard_wins_and_another_address_does_not_count(scp):
    make_peer("U*", may_echo=False)
    make_peer("US?", may_echo=True)
    make_peer("US??", allowed_addresses=["192.168.1.0/24"])
    assert scp.scanner("US1").echo() == 0x0000
    assert scp.scanner("US12").echo() == 0x0124


def test_what_a_row_does_not_allow_is_answered_not_authorized(scp):
    make_peer("PLAIN", may_query_worklist=False, may_send_mpps=False, may_store=False)
    scanner = scp.scanner("PLAIN")
    assert scanner.find(_keys())[0] == 0x0124
    assert scanner.start_unscheduled(patient_name="A^B", patient_id="1") == 0x0124
    assert scanner.store_images(1) == [0x0124]
    scp.server.stop(3)
    refused = {key: value for row in AssociationLog.objects.all() for key, value in row.refused.items()}
    assert refused == {"0124": 1}


def _keys():
    from interop.dicom.emulator import worklist_keys

    return worklist_keys("", "CT", "")


def test_contexts_nobody_serves_are_refused_one_by_one(scp):
    ae = AE(ae_title="CT1")
    ae.add_requested_context("1.2.840.10008.1.1")
    ae.add_requested_context("1.2.840.10008.5.1.1.9")  # basic grayscale print
    ae.add_requested_context("1.2.840.10008.5.1.4.31", "1.2.840.10008.1.2.4.50")
    association = ae.associate("127.0.0.1", scp.port, ae_title="ALPHA")
    assert association.is_established
    assert [context.abstract_syntax for context in association.accepted_contexts] == ["1.2.840.10008.1.1"]
    assert sorted(context.result for context in association.rejected_contexts) == [3, 4]
    association.release()


def test_too_many_associations_are_told_so(scp):
    object.__setattr__(scp.server.settings, "max_per_address", 2)
    ae = AE(ae_title="CT1")
    ae.add_requested_context("1.2.840.10008.1.1")
    open_ones = [ae.associate("127.0.0.1", scp.port, ae_title="ALPHA") for _number in range(2)]
    third = ae.associate("127.0.0.1", scp.port, ae_title="ALPHA")
    assert third.is_rejected
    assert third.acceptor.primitive.result_str == "Rejected Transient"
    for association in open_ones:
        association.release()
    assert scp.scanner().echo() == 0x0000


def test_dcmtk_echoes(scp, dcmtk):
    answer = dcmtk("echoscu", "-v", "-aet", "CT1", "-aec", "ALPHA", "127.0.0.1", str(scp.port))
    assert answer.returncode == 0, answer.stderr
    refused = dcmtk("echoscu", "-v", "-aet", "CT1", "-aec", "NOBODY", "127.0.0.1", str(scp.port))
    assert refused.returncode != 0
    assert "Called AE Title Not Recognized" in refused.stderr + refused.stdout


def test_two_facilities_keep_their_own_log(scp, beta):
    scp.scanner().echo()
    scp.scanner("MR9", "BETA").echo()
    scp.server.stop(3)
    assert [row.calling_ae_title for row in AssociationLog.objects.all()] == ["CT1"]
    with use_facility(beta):
        assert [row.calling_ae_title for row in AssociationLog.objects.all()] == ["MR9"]
