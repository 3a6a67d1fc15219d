"""What is agreed upon when an association opens: extensions, roles, the window of operations, identities."""

from __future__ import annotations

import struct

import pytest
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE, build_role
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)

from interop.dicom import pdu
from worklist.models import ImagingInstance

from .conftest import plain_image

CT_IMAGE, VERIFICATION = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.1"
STUDY_FIND, STUDY_MOVE, STUDY_GET = (f"1.2.840.10008.5.1.4.1.2.2.{kind}" for kind in (1, 2, 3))
WORKLIST = "1.2.840.10008.5.1.4.31"
STORAGE_SERVICE, WORKLIST_SERVICE = "1.2.840.10008.4.2", "1.2.840.10008.5.1.4.31"
OWN_CLASS, OTHER_CLASS = "1.2.826.0.1.3680043.9.3811.55.1", "1.2.826.0.1.3680043.9.3811.55.2"


def called(scp, contexts, *negotiations):
    ae = AE(ae_title="CT1")
    for context in contexts:
        ae.add_requested_context(context, ImplicitVRLittleEndian)
    line = ae.associate("127.0.0.1", scp.port, ae_title="ALPHA", ext_neg=list(negotiations))
    assert line.is_established
    return line


def extended(uid: str, information: bytes) -> SOPClassExtendedNegotiation:
    asked = SOPClassExtendedNegotiation()
    asked.sop_class_uid, asked.service_class_application_information = uid, information
    return asked


def common(uid: str, service: str, *related: str) -> SOPClassCommonExtendedNegotiation:
    told = SOPClassCommonExtendedNegotiation()
    told.sop_class_uid, told.service_class_uid = uid, service
    told.related_general_sop_class_identification = list(related)
    return told


def test_of_query_retrieve_and_storage_is_agreed_upon_what_is_done(scp):
    asked = {
        STUDY_FIND: b"\1\1\1\1\1",
        STUDY_MOVE: b"\1\1",
        STUDY_GET: b"\1",
        CT_IMAGE: b"\2\0\3\0\0\0",
        WORKLIST: b"\1\1",
    }
    line = called(scp, asked, *(extended(uid, information) for uid, information in asked.items()))
    agreed = line.acceptor.sop_class_extended
    line.release()
    assert agreed == {
        STUDY_FIND: b"\1\1\0\0\0",
        STUDY_MOVE: b"\1\0",
        STUDY_GET: b"\1",
        CT_IMAGE: b"\2\0\1\0\1\0",
    }


def test_what_was_not_asked_for_is_not_agreed_upon(scp):
    line = called(scp, [STUDY_FIND, CT_IMAGE], extended(STUDY_FIND, b"\0\0\0"))
    agreed = line.acceptor.sop_class_extended
    line.release()
    assert agreed == {STUDY_FIND: b"\0\0\0"}


def test_an_extension_of_a_class_that_was_not_accepted_is_not_answered(scp):
    line = called(scp, [VERIFICATION, OTHER_CLASS], extended(OTHER_CLASS, b"\1"))
    agreed = line.acceptor.sop_class_extended
    line.release()
    assert agreed == {}


@pytest.mark.parametrize("related", [(CT_IMAGE,), (), (OTHER_CLASS,)])
def test_an_unknown_class_of_the_storage_service_is_stored(scp, related):
    line = called(scp, [OWN_CLASS], common(OWN_CLASS, STORAGE_SERVICE, *related))
    answer = line.send_c_store(plain_image(OWN_CLASS))
    line.release()
    assert answer.Status == 0
    stored = ImagingInstance.objects.get()
    assert (stored.sop_class_uid, stored.sop_instance_uid) == (OWN_CLASS, "1.2.3.1")


def test_an_unknown_class_is_refused_unless_it_is_said_to_be_storage(scp):
    line = called(scp, [VERIFICATION, OWN_CLASS, OTHER_CLASS], common(OWN_CLASS, WORKLIST_SERVICE, CT_IMAGE))
    refused = {context.abstract_syntax: context.result for context in line.rejected_contexts}
    line.release()
    assert refused == {OWN_CLASS: 3, OTHER_CLASS: 3}


def test_one_operation_at_a_time_is_agreed_upon(scp):
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked, window.maximum_number_operations_performed = 8, 0
    line = called(scp, [VERIFICATION], window)
    assert line.acceptor.asynchronous_operations == (1, 1)
    assert line.send_c_echo().Status == 0
    line.release()


def test_a_window_that_was_not_proposed_is_not_answered(scp):
    line = called(scp, [VERIFICATION])
    items = {type(item) for item in line.acceptor.primitive.user_information}
    line.release()
    assert AsynchronousOperationsWindowNegotiation not in items


def test_roles_the_requestor_stays_scu_and_becomes_scp_of_what_it_gets_back(scp):
    roles = [build_role(uid, scu_role=True, scp_role=True) for uid in (CT_IMAGE, STUDY_FIND)]
    line = called(scp, [CT_IMAGE, STUDY_FIND, STUDY_GET], *roles)
    agreed = {uid: (role.scu_role, role.scp_role) for uid, role in line.acceptor.role_selection.items()}
    line.release()
    assert agreed == {CT_IMAGE: (True, True), STUDY_FIND: (True, False)}


@pytest.mark.parametrize("wants_response", [False, True])
def test_an_identity_opens_and_closes_no_door(scp, wants_response):
    identity = UserIdentityNegotiation()
    identity.user_identity_type, identity.primary_field, identity.secondary_field = 2, b"anna", b"secret"
    identity.positive_response_requested = wants_response
    line = called(scp, [VERIFICATION], identity)
    assert line.acceptor.user_identity is None
    assert line.send_c_echo().Status == 0
    line.release()


def uid_item(*uids: str) -> bytes:
    return b"".join(struct.pack(">H", len(uid)) + uid.encode() for uid in uids)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (0x56, struct.pack(">H", 40) + b"1.2.3"),
        (0x57, uid_item("1.2.3")),
        (0x57, uid_item("1.2.3", STORAGE_SERVICE) + struct.pack(">H", 9)),
        (0x57, uid_item("1.2.3", STORAGE_SERVICE) + struct.pack(">HH", 4, 80) + b"12"),
    ],
)
def test_items_that_are_cut_off_are_no_request(kind, content):
    user = struct.pack(">BxH", kind, len(content)) + content
    body = struct.pack(">HH", 1, 0) + bytes(64) + struct.pack(">BxH", 0x50, len(user)) + user
    with pytest.raises(pdu.ProtocolError) as wrong:
        pdu.parse_associate_request(body)
    assert wrong.value.reason == pdu.Abort.INVALID_PARAMETER


def test_a_common_extension_is_read_whole():
    related = uid_item(CT_IMAGE, OTHER_CLASS)
    content = uid_item(OWN_CLASS, STORAGE_SERVICE) + struct.pack(">H", len(related)) + related
    user = struct.pack(">BxH", 0x57, len(content)) + content
    body = struct.pack(">HH", 1, 0) + bytes(64) + struct.pack(">BxH", 0x50, len(user)) + user
    assert pdu.parse_associate_request(body).common == {OWN_CLASS: (STORAGE_SERVICE, (CT_IMAGE, OTHER_CLASS))}
