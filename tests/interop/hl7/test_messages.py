"""The parser and builder: delimiters, escapes, character sets, places of errors."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interop.hl7 import acknowledgements as ack
from interop.hl7.messages import (
    CONTROL,
    DEFAULT,
    Delimiters,
    Hl7Error,
    Location,
    ParseError,
    build,
    escape,
    parse,
    peek,
    unescape,
)

ORDER = (
    b"MSH|^~\\&|HIS|CLINIC|RIS|ALPHA|20260102030405||ORM^O01|C1|P|2.5.1|||||||UNICODE UTF-8\r"
    b"PID|1||P1^^^CLINIC^MR~N2^^^GOV&1.2.3&ISO^NI||Achieng^Wanjiru&x^M||19900203|F\r"
    b"ORC|NW|A1^HIS\rOBR|1|A1^HIS||CT1^CT chest^L\r"
)


def test_fields_components_repetitions_are_counted_from_one():
    message = parse(ORDER)
    pid = message.required("PID")
    assert (pid.text(3), pid.text(3, 4), pid.text(3, 1, 1, 2), pid.text(3, 4, 2, 2)) == ("P1", "CLINIC", "N2", "1.2.3")
    assert (pid.text(5, 2), pid.text(5, 2, 2), pid.text(99), pid.repetitions(3)) == ("Wanjiru", "x", "", 2)
    assert (message.type, message.event, message.header.control_id) == ("ORM", "O01", "C1")
    assert message.header.raw(1) == "|" and message.header.raw(2) == "^~\\&"


def test_other_delimiters_are_obeyed():
    message = parse(b"MSH*:+!%*A*B*C*D*20260101**ADT:A04*7*P*2.5\rPID*1**12:::X:MR**Doe:J!F!n\r")
    assert message.header.message_type == "ADT^A04"
    assert message.required("PID").text(5, 2) == "J*n"


def test_null_is_not_empty():
    pid = parse(b'MSH|^~\\&|||||||ADT^A08|1|P|2.5\rPID|1||1||A^B||""|\r').required("PID")
    assert pid.is_null(7) and pid.text(7) == "" and not pid.is_null(8)


@pytest.mark.parametrize(
    ("raw", "code", "place"),
    [
        (b"", "100", "MSH^1"),
        (b"hello", "100", "MSH^1"),
        (b"MSH||||", "102", "MSH^1^2"),
        (b"MSH|^^\\&|A", "102", "MSH^1^2"),
        (b"MSHA^~\\&A", "102", "MSH^1^2"),
        (b"MSH|^~\\&|A|B\rpid|1", "100", "MSH^1"),
        (b"MSH|^~\\&|A|B\rPIDX|1", "100", "PID^1"),
        (b"MSH|^~\\&|A|B\rPID|1\rMSH|^~\\&|", "100", "MSH^2"),
        (b"MSH|^~\\&|A|B\rPID|1\rPID|1||a\x0bb", "102", "PID^2^3"),
        (b"MSH|^~\\&|A|B\rPID|1||a\x1cb", "102", "PID^1^3"),
        (b"MSH|^~\\&|A|B\rPID|1||a\x00b", "102", "PID^1^3"),
        (b"MSH|^~\\&|A|B|||||ADT^A04|1|P|2.5||||||MARTIAN\rPID|1", "103", "MSH^1^18"),
        (b"MSH|^~\\&|A|B|||||ADT^A04|1|P|2.5||||||UNICODE UTF-8\rPID|\xff\xfe", "102", "MSH^1^18"),
    ],
)
def test_what_is_no_message_is_refused_with_its_place(raw, code, place):
    with pytest.raises(ParseError) as refusal:
        parse(raw)
    assert (refusal.value.code, str(refusal.value.location)) == (code, place)


@pytest.mark.parametrize(
    ("charset", "codec", "name"),
    [
        ("8859/1", "iso8859_1", "Müller"),
        ("8859/2", "iso8859_2", "Kovács Őz"),
        ("8859/5", "iso8859_5", "Иванов"),
        ("8859/15", "iso8859_15", "Œuvré €"),
        ("UNICODE UTF-8", "utf-8", "Nguyễn 王小明"),
        ("", "utf-8", "Achieng' Ñ"),
        ("", "iso8859_1", "Ñandú"),
        ("ASCII", "utf-8", "Łukasz"),
        ("GB 18030-2000", "gb18030", "王小明"),
        ("ISO IR87", "iso2022_jp", "山田"),
        ("KS X 1001", "euc_kr", "김희중"),
        ("BIG-5", "big5", "許功蓋"),  # its second bytes hold a backslash
    ],
)
def test_names_come_out_as_they_went_in(charset, codec, name):
    raw = f"MSH|^~\\&|A|B|||||ADT^A04|1|P|2.5||||||{charset}\rPID|1||1||{name}^X\r".encode(codec)
    assert parse(raw).required("PID").text(5) == name


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"a\F\b\S\c\T\d\R\e\E\f", "a|b^c&d~e\\f"),
        (r"one\.br\two", "one\ntwo"),
        (r"one\.sp2\two", "one\n\ntwo"),
        (r"\X48656C6C6F\!", "Hello!"),
        (r"\XC3A9\t\XC3\ ", "ét\\XC3\\ "),
        (r"\H\bold\N\ text", "bold text"),
        (r"C:\temp\new", r"C:\temp\new"),
        ("open \\ end", "open \\ end"),
        (r"\.in+4\x\.ti-2\y\.fi\z", "xyz"),
        (r"\Zmine\x", "x"),
    ],
)
def test_escapes_are_understood(written, meant):
    assert unescape(written) == meant


@settings(deadline=None)
@given(st.text())
def test_text_survives_escaping(text):
    normal = text.replace("\r\n", "\n").replace("\x00", "")
    for other in "\r\x0b\x0c\x85\u2028\u2029":
        normal = normal.replace(other, "\n")
    written = escape(text)
    assert unescape(written) == normal
    assert not set(written) & set("|^~&\r\n\x0b\x1c")


ENCODING = st.sampled_from(["|^~\\&", "*:+!%", "#$%@;", "|^~\\&#"])


@settings(deadline=None)
@given(ENCODING, st.lists(st.text(), min_size=1, max_size=5))
def test_any_delimiters_carry_any_text(characters, texts):
    delimiters = Delimiters.of(f"MSH{characters[0]}{characters[1:]}{characters[0]}x")
    raw = build(
        [("MSH", ["A", "B"]), ("NTE", ["1", None, tuple(texts)])], charset="UNICODE UTF-8", delimiters=delimiters
    )
    note = parse(raw.replace(b"B\r", b"B" + characters[0].encode() * 14 + b"UNICODE UTF-8\r", 1)).required("NTE")
    for number, text in enumerate(texts, 1):
        part = note.raw_component(3, number)
        assert unescape(part, delimiters) == unescape(escape(text, delimiters), delimiters)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=400, deadline=None)
@given(st.data())
def test_a_mutated_message_is_parsed_or_refused_and_always_answered(data):
    raw = bytearray(ORDER)
    for _change in range(data.draw(st.integers(1, 6))):
        position = data.draw(st.integers(0, len(raw) - 1))
        raw[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        if not raw:
            raw = bytearray(b"M")
    with contextlib.suppress(Hl7Error):
        parse(bytes(raw))
    header = peek(bytes(raw))
    answer = ack.acknowledge(header, "AE", problems=(ack.Problem("102", Location("PID", 1, 5, 1), "So | it ^ is"),))
    read = ack.read(answer)
    expected = CONTROL.sub("", header.control_id).strip() if header else ""
    assert (read.code, read.control_id) == ("AE", expected)


def test_an_acknowledgement_turns_the_parties_round_and_names_the_place():
    header = parse(ORDER).header
    answer = parse(ack.acknowledge(header, "AE", problems=(ack.Problem("204", Location("PID", 1, 3), "Not known"),)))
    assert [answer.header.raw(n) for n in (3, 4, 5, 6)] == ["RIS", "ALPHA", "HIS", "CLINIC"]
    assert (answer.header.message_type, answer.header.raw(12)) == ("ACK^O01", "2.5.1")
    msa, err = answer.required("MSA"), answer.required("ERR")
    assert (msa.text(1), msa.text(2), msa.text(3)) == ("AE", "C1", "Not known")
    assert (err.raw(2), err.text(3), err.text(4), err.text(8)) == ("PID^1^3", "204", "E", "Not known")


def test_before_version_2_5_the_place_stands_in_err_1():
    header = peek(b"MSH|^~\\&|HIS|C|RIS|A|1||ADT^A04|9|P|2.3")
    answer = parse(ack.acknowledge(header, "AR", problems=(ack.Problem("101", Location("PID", 1, 5), "No name"),)))
    assert answer.required("ERR").raw(1) == "PID^1^5^101&Required field missing&HL70357"


def test_control_ids_fit_differ_and_sort():
    ids = [ack.new_control_id() for _number in range(200)]
    assert len(set(ids)) == 200 and {len(one) for one in ids} == {20}


def test_building_drops_empty_ends_and_keeps_repetitions():
    raw = build([("PID", ["1", None, [("1", None, None, "A"), ("2",)], None, ("F", "", "")])], charset="")
    assert raw == b"PID|1||1^^^A~2||F\r"


def test_what_a_character_set_cannot_write_is_refused():
    with pytest.raises(UnicodeEncodeError):
        build([("NTE", ["王"])], charset="8859/1")
    assert DEFAULT.encoding_characters == "^~\\&"
