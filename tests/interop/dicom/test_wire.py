"""What no honest scanner sends: cut, closed or aborted, and the next one is served at once."""

from __future__ import annotations

import random
import resource
import socket
import struct
import time
from io import BytesIO

import pytest
from pynetdicom.dsutils import decode

from interop.dicom import pdu
from interop.dicom.elements import IMPLICIT, encode, encode_items
from interop.dicom.messages import Command, Field, encode_response, parse_command
from interop.models import AssociationLog

WORKLIST, VERIFICATION, CT_IMAGE = "1.2.840.10008.5.1.4.31", "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2"
SYNTAX = "1.2.840.10008.1.2"


def item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


def associate_rq(*abstracts: str, called: bytes = b"ALPHA", calling: bytes = b"CT1", version: int = 1) -> bytes:
    body = struct.pack(">HH", version, 0) + called.ljust(16)[:16] + calling.ljust(16)[:16] + bytes(32)
    body += item(0x10, pdu.APPLICATION_CONTEXT.encode())
    for number, abstract in enumerate(abstracts):
        syntaxes = item(0x30, abstract.encode()) + item(0x40, SYNTAX.encode())
        body += item(0x20, bytes([number * 2 + 1, 0, 0, 0]) + syntaxes)
    body += item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3"))
    return pdu.HEADER.pack(1, len(body)) + body


def command(field: int, sop_class: str, *, data: bool, instance: str = "") -> bytes:
    parts = encode(0x2, sop_class.encode(), IMPLICIT) + encode(0x100, struct.pack("<H", field), IMPLICIT)
    parts += encode(0x110, struct.pack("<H", 1), IMPLICIT) + encode(0x700, struct.pack("<H", 0), IMPLICIT)
    parts += encode(0x800, struct.pack("<H", 0 if data else 0x101), IMPLICIT)
    if instance:
        parts += encode(0x1000, instance.encode(), IMPLICIT)
    return encode(0, struct.pack("<L", len(parts)), IMPLICIT) + parts


def p_data(context: int, content: bytes, *, is_command: bool) -> bytes:
    return b"".join(pdu.p_data(context, content, is_command=is_command, max_length=16384))


def read_pdu(line: socket.socket) -> tuple[int, bytes]:
    header = b""
    while len(header) < 6:
        piece = line.recv(6 - len(header))
        if not piece:
            return 0, b""
        header += piece
    kind, length = pdu.HEADER.unpack(header)
    body = b""
    while len(body) < length:
        body += line.recv(length - len(body))
    return kind, body


def status_in(body: bytes) -> int:
    at = body.index(struct.pack("<HHL", 0, 0x900, 2))
    return struct.unpack_from("<H", body, at + 8)[0]


def test_garbage_is_answered_with_an_abort_and_the_next_is_served(scp):
    for garbage in (
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(64),
        b"\xff" * 100,
        b"\x01\x00\x00\x00\x00\x02ab",
        b"\x16\x03\x01\x02\x00\x01",
    ):
        with scp.connect() as line:
            line.sendall(garbage)
            assert read_pdu(line)[0] in (0, 7)
    assert scp.scanner().echo() == 0


@pytest.mark.parametrize("kind", [1, 4, 5])
def test_a_pdu_that_declares_four_gigabytes_is_cut_at_once(scp, kind):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _number in range(20):
        with scp.connect() as line:
            if kind != 1:
                line.sendall(associate_rq(VERIFICATION))
                assert read_pdu(line)[0] == 2
            line.sendall(pdu.HEADER.pack(kind, 0xFFFFFFFF) + bytes(1000))
            assert read_pdu(line)[0] == 7
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024
    assert scp.scanner().echo() == 0


def test_silent_connections_end_and_stand_in_nobodys_way(scp):
    lines = [scp.connect() for _number in range(60)]
    begun = time.monotonic()
    assert scp.scanner().echo() == 0
    assert time.monotonic() - begun < 2
    lines[0].settimeout(8)
    assert lines[0].recv(100) == b""
    for line in lines:
        line.close()


def test_a_begun_message_that_stalls_is_aborted(scp):
    with scp.connect(10) as line:
        line.sendall(associate_rq(WORKLIST))
        read_pdu(line)
        line.sendall(p_data(1, command(Field.C_FIND, WORKLIST, data=True), is_command=True))
        assert read_pdu(line)[0] == 7
    scp.server.stop(3)
    assert AssociationLog.objects.get().outcome == "stalled"


def test_a_context_that_was_not_accepted_and_data_without_command_are_aborted(scp):
    for unit in (
        p_data(9, command(Field.C_ECHO, VERIFICATION, data=False), is_command=True),
        p_data(1, b"data", is_command=False),
        p_data(1, b"\0\0", is_command=True),
        associate_rq(VERIFICATION),
        pdu.HEADER.pack(4, 7) + struct.pack(">LBB", 0xFFFFFF, 1, 3) + b"x",
    ):
        with scp.connect() as line:
            line.sendall(associate_rq(VERIFICATION))
            assert read_pdu(line)[0] == 2
            line.sendall(unit)
            assert read_pdu(line)[0] == 7
    assert scp.scanner().echo() == 0


def test_a_backslash_in_a_title_is_refused(scp):
    for titles in (
        {"called": b"ALPHA\\BETA"},
        {"calling": b"CT1\\CT2"},
        {"calling": b"CT1\r\nX"},
        {"called": b"\xffALPHA"},
    ):
        with scp.connect() as line:
            line.sendall(associate_rq(VERIFICATION, **titles))
            assert read_pdu(line)[0] == 3


def test_another_protocol_version_is_refused(scp):
    with scp.connect() as line:
        line.sendall(associate_rq(VERIFICATION, version=2))
        assert read_pdu(line) == (3, bytes([0, 1, 2, 2]))


def test_a_connection_cut_in_the_middle_of_an_image_leaves_nothing(scp):
    from .test_exam import files_in_store

    with scp.connect() as line:
        line.sendall(associate_rq(CT_IMAGE))
        read_pdu(line)
        line.sendall(p_data(1, command(Field.C_STORE, CT_IMAGE, data=True, instance="1.2.3"), is_command=True))
        line.sendall(pdu.HEADER.pack(4, 1006) + struct.pack(">LBB", 1002, 1, 0) + bytes(1000))
        time.sleep(0.3)
    scp.server.stop(3)
    assert files_in_store() == []
    assert AssociationLog.objects.get().outcome == "lost"


def nested(depth: int) -> bytes:
    content = encode(0x00100020, b"1", IMPLICIT)
    for _level in range(depth):
        content = encode_items(0x00400100, [content], IMPLICIT)
    return content


def test_ten_thousand_nested_items_get_a_status(scp):
    bomb = b"".join(
        struct.pack("<HHLHHL", 0x40, 0x100, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF) for _level in range(10_000)
    )
    for data in (bomb, nested(100)):
        with scp.connect() as line:
            line.sendall(associate_rq(WORKLIST))
            read_pdu(line)
            line.sendall(p_data(1, command(Field.C_FIND, WORKLIST, data=True), is_command=True))
            line.sendall(p_data(1, data, is_command=False))
            assert status_in(read_pdu(line)[1]) == 0xA900
    assert scp.scanner().echo() == 0


def test_an_identifier_without_end_is_refused_and_not_kept(scp):
    with scp.connect(20) as line:
        line.sendall(associate_rq(WORKLIST))
        read_pdu(line)
        line.sendall(p_data(1, command(Field.C_FIND, WORKLIST, data=True), is_command=True))
        piece = pdu.HEADER.pack(4, 16006) + struct.pack(">LBB", 16002, 1, 0) + bytes(16000)
        for _number in range(600):
            line.sendall(piece)
        line.sendall(pdu.HEADER.pack(4, 6) + struct.pack(">LBB", 2, 1, 2))
        assert status_in(read_pdu(line)[1]) == 0xA900


def test_unknown_operations_get_a_status(scp):
    with scp.connect() as line:
        line.sendall(associate_rq(VERIFICATION, WORKLIST))
        read_pdu(line)
        line.sendall(p_data(1, command(Field.N_DELETE, VERIFICATION, data=False), is_command=True))
        assert status_in(read_pdu(line)[1]) == 0x0211
        line.sendall(p_data(3, command(Field.C_FIND, VERIFICATION, data=True), is_command=True))
        line.sendall(p_data(3, nested(0), is_command=False))
        assert status_in(read_pdu(line)[1]) == 0x0122
        line.sendall(p_data(1, command(Field.C_ECHO, VERIFICATION, data=False), is_command=True))
        assert status_in(read_pdu(line)[1]) == 0


def test_two_requests_in_one_write_get_two_answers(scp):
    with scp.connect() as line:
        line.sendall(associate_rq(VERIFICATION))
        read_pdu(line)
        line.sendall(p_data(1, command(Field.C_ECHO, VERIFICATION, data=False), is_command=True) * 3)
        assert [status_in(read_pdu(line)[1]) for _number in range(3)] == [0, 0, 0]
        line.sendall(pdu.HEADER.pack(5, 4) + bytes(4))
        assert read_pdu(line)[0] == 6


def test_a_release_waits_for_what_was_asked_and_collides_with_nothing(scp):
    """The acceptor's side never begins a release (PS3.8 7.2): an A-RELEASE-RP comes out of nowhere."""
    release, answer = pdu.HEADER.pack(5, 4) + bytes(4), pdu.HEADER.pack(6, 4) + bytes(4)
    with scp.connect() as line:
        line.sendall(associate_rq(WORKLIST))
        read_pdu(line)
        asked = p_data(1, command(Field.C_FIND, WORKLIST, data=True), is_command=True)
        line.sendall(asked + p_data(1, encode(0x100010, b"", IMPLICIT), is_command=False) + release)
        assert status_in(read_pdu(line)[1]) == 0
        assert read_pdu(line)[0] == 6
    with scp.connect() as line:
        line.sendall(associate_rq(VERIFICATION))
        read_pdu(line)
        line.sendall(answer)
        kind, body = read_pdu(line)
        assert (kind, body[2:]) == (7, bytes([2, 2])), "by the provider: an unexpected PDU"
        assert line.recv(1) == b""
    with scp.connect() as line:
        line.sendall(associate_rq(VERIFICATION))
        assert read_pdu(line)[0] == 2


def test_a_query_is_cancelled_within_one_more_answer(scp, monkeypatch):
    from interop.dicom import dimse

    many = ((0xFF00, nested(0)) for _number in range(100_000))
    handler = dimse.handler_for(Field.C_FIND, WORKLIST)
    slow = dimse.Handler(
        handler.field, lambda request, actor: many, handler.sop_classes, handler.transfer_syntaxes,
        handler.allowed_by, handler.door,
    )  # fmt: skip
    monkeypatch.setitem(dimse._handlers, (int(Field.C_FIND), WORKLIST), slow)
    cancel = encode(0x100, struct.pack("<H", 0xFFF), IMPLICIT) + encode(0x120, struct.pack("<H", 1), IMPLICIT)
    cancel += encode(0x800, struct.pack("<H", 0x101), IMPLICIT)
    cancel = encode(0, struct.pack("<L", len(cancel)), IMPLICIT) + cancel
    with scp.connect(20) as line:
        line.sendall(associate_rq(WORKLIST))
        read_pdu(line)
        line.sendall(p_data(1, command(Field.C_FIND, WORKLIST, data=True), is_command=True))
        line.sendall(p_data(1, nested(0), is_command=False))
        read_pdu(line)
        line.sendall(p_data(1, cancel, is_command=True))
        statuses = []
        while not statuses or statuses[-1] == 0xFF00:
            body = read_pdu(line)[1]
            if body[5] & 1:
                statuses.append(status_in(body))
        assert statuses[-1] == 0xFE00
        assert len(statuses) < 50_000


def test_mutated_associations_kill_nothing(scp):
    random.seed(7)
    whole = (
        associate_rq(VERIFICATION, WORKLIST, CT_IMAGE)
        + p_data(3, command(Field.C_FIND, WORKLIST, data=True), is_command=True)
        + p_data(3, nested(3), is_command=False)
        + p_data(5, command(Field.C_STORE, CT_IMAGE, data=True, instance="1.2.3"), is_command=True)
        + p_data(5, nested(2), is_command=False)
        + pdu.HEADER.pack(5, 4)
        + bytes(4)
    )
    for _number in range(150):
        mutated = bytearray(whole)
        for _change in range(random.randint(1, 6)):
            mutated[random.randrange(len(mutated))] = random.choice((0, 1, 0x7F, 0xFF, random.randrange(256)))
        with scp.connect() as line:
            line.sendall(bytes(mutated[: random.choice((len(mutated), random.randrange(len(mutated))))]))
            line.shutdown(socket.SHUT_WR)
            while line.recv(65536):
                continue
    assert scp.scanner().echo() == 0


def test_a_response_parses_back():
    asked = parse_command(command(Field.C_STORE, CT_IMAGE, data=True, instance="1.2.3"))
    assert (asked.field, asked.message_id, asked.sop_instance_uid, asked.has_data_set) == (1, 1, "1.2.3", True)
    answer = encode_response(asked, 0xA700, sop_instance_uid="1.2.3", comment="x" * 200)
    decoded = decode(BytesIO(answer), True, True)
    assert (decoded.Status, decoded.CommandField, len(decoded.ErrorComment)) == (0xA700, 0x8001, 64)


# --- sub-operations, actions, roles


PATIENT_ROOT_GET, PATIENT_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.1.3", "1.2.840.10008.5.1.4.1.2.1.2"
COMMITMENT = "1.2.840.10008.1.20.1"


@pytest.fixture
def registered(monkeypatch):
    """Handlers that exist for one test."""
    from interop.dicom import admission, dimse
    from interop.dicom.association import terms_for

    monkeypatch.setattr(dimse, "_handlers", dict(dimse._handlers))
    monkeypatch.setattr(dimse, "_syntaxes", dict(dimse._syntaxes))
    admission.sent_back.cache_clear()
    terms_for.cache_clear()
    yield dimse
    admission.sent_back.cache_clear()
    terms_for.cache_clear()


def retrieving(scp, context: str, *, takes_back: bool):
    from pynetdicom import AE, build_role, evt

    taken = []

    def on_store(event):
        taken.append((event.request.AffectedSOPInstanceUID, bytes(event.encoded_dataset(include_meta=False))))
        return 0x0000

    ae = AE(ae_title="CT1")
    ae.add_requested_context(context)
    ae.add_requested_context(CT_IMAGE, SYNTAX)
    roles = [build_role(CT_IMAGE, scu_role=True, scp_role=True)] if takes_back else []
    line = ae.associate(
        "127.0.0.1", scp.port, ae_title="ALPHA", ext_neg=roles, evt_handlers=[(evt.EVT_C_STORE, on_store)]
    )
    return line, taken


def part_10_file(path, size: int) -> bytes:
    from interop.dicom.headers import file_meta

    data = encode(0x00080018, b"1.2.3\0", IMPLICIT) + encode(0x7FE00010, random.randbytes(size), IMPLICIT)
    path.write_bytes(file_meta(CT_IMAGE, "1.2.3", SYNTAX) + data)
    return data


@pytest.mark.parametrize("size", [0, 200, 65536 - 26, 300_000])
def test_c_get_sends_objects_back_where_the_role_was_negotiated(scp, registered, tmp_path, size):
    from pydicom import Dataset

    file = tmp_path / "one.dcm"
    data = part_10_file(file, size)

    @registered.c_get(PATIENT_ROOT_GET, allowed_by="may_store", door="retrieve")
    def on_get(request, actor):
        syntaxes = request.suboperations.accepts(CT_IMAGE)
        done = failed = 0
        for remaining in (2, 1, 0):
            yield registered.Answer(0xFF00, counts=registered.Counts(remaining + 1, done, failed))
            for syntax in syntaxes:
                done += request.suboperations.store(CT_IMAGE, f"1.2.{remaining}", syntax, file) == 0
            failed += not syntaxes
        yield registered.Answer(0xB000 if failed else 0, counts=registered.Counts(None, done, failed))

    for takes_back in (True, False):
        line, taken = retrieving(scp, PATIENT_ROOT_GET, takes_back=takes_back)
        asked = Dataset()
        asked.QueryRetrieveLevel = "STUDY"
        answers = [status for status, _identifier in line.send_c_get(asked, PATIENT_ROOT_GET)]
        line.release()
        last = answers[-1]
        assert [answer.Status for answer in answers[:-1]] == [0xFF00] * 3
        assert "NumberOfRemainingSuboperations" not in last
        assert taken == ([(f"1.2.{n}", data) for n in (2, 1, 0)] if takes_back else [])
        counted = (last.Status, last.NumberOfCompletedSuboperations, last.NumberOfFailedSuboperations)
        assert counted == ((0, 3, 0) if takes_back else (0xB000, 0, 3))


def test_c_get_is_cancelled_between_two_objects(scp, registered, tmp_path):
    from pydicom import Dataset

    file = tmp_path / "one.dcm"
    part_10_file(file, 100)

    @registered.c_get(PATIENT_ROOT_GET, allowed_by="may_store", door="retrieve")
    def on_get(request, actor):
        for number in range(1000):
            if request.is_cancelled():
                yield registered.Answer(0xFE00, counts=registered.Counts(1000 - number, number))
                return
            request.suboperations.store(CT_IMAGE, f"1.2.{number + 1}", SYNTAX, file)
            yield registered.Answer(0xFF00, counts=registered.Counts(999 - number, number + 1))

    line, taken = retrieving(scp, PATIENT_ROOT_GET, takes_back=True)
    asked = Dataset()
    asked.QueryRetrieveLevel = "STUDY"
    answers = []
    for status, _identifier in line.send_c_get(asked, PATIENT_ROOT_GET, msg_id=7):
        answers.append(status)
        if len(answers) == 2:
            line.send_c_cancel(7, query_model=PATIENT_ROOT_GET)
    line.release()
    assert answers[-1].Status == 0xFE00
    assert answers[-1].NumberOfRemainingSuboperations + answers[-1].NumberOfCompletedSuboperations == 1000
    assert 2 <= len(taken) < 1000


def test_c_move_tells_its_counts_and_its_destination(scp, registered):
    from pydicom import Dataset

    asked_for = []

    @registered.c_move(PATIENT_ROOT_MOVE, allowed_by="may_store", door="retrieve")
    def on_move(request, actor):
        asked_for.append(request.move_destination)
        yield registered.Answer(0xFF00, counts=registered.Counts(1, 1, 0, 0))

    line, _taken = retrieving(scp, PATIENT_ROOT_MOVE, takes_back=False)
    asked = Dataset()
    asked.QueryRetrieveLevel = "STUDY"
    answers = [status for status, _identifier in line.send_c_move(asked, "PACS", PATIENT_ROOT_MOVE)]
    line.release()
    assert asked_for == ["PACS"]
    assert [(one.Status, one.NumberOfCompletedSuboperations) for one in answers] == [(0xFF00, 1), (0, 1)]


def test_an_action_is_answered_with_its_type(scp, registered):
    from pydicom import Dataset

    @registered.n_action(COMMITMENT, allowed_by="may_store", door="commitment")
    def on_action(request, actor):
        if request.action_type_id != 1:
            raise registered.DimseError(registered.Status.NO_SUCH_ACTION, "There is no such action.")
        return b""

    line, _taken = retrieving(scp, COMMITMENT, takes_back=False)
    asked = Dataset()
    asked.TransactionUID = "1.2.3.4"
    for action, status in ((1, 0x0000), (2, 0x0123)):
        answer, _reply = line.send_n_action(asked, action, COMMITMENT, "1.2.840.10008.1.20.1.1")
        assert answer.Status == status
    line.release()
    told = parse_command(encode_response(Command(Field.N_ACTION, 3, COMMITMENT, "1.2.3", True, action_type_id=1), 0))
    assert (told.field, told.message_id, told.action_type_id, told.status) == (0x8130, 3, 1, 0)
