"""``manage.py check_data``: a folder of messages, what became of each, and nothing of it left."""

from __future__ import annotations

import json

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from interop.models import InboundMessage
from orders.models import Patient
from tests.factories.dose import ct_event, ct_report, file_of
from tests.interop.hl7.conftest import message, order, pid
from tests.interop.hl7.test_batches import batch


def fed(folder, capsys, **options) -> tuple[list[list[str]], dict]:
    call_command("check_data", str(folder), facility="alpha", **options)
    *lines, last = capsys.readouterr().out.strip().splitlines()
    return [line.split("\t") for line in lines], json.loads(last)


def test_each_message_of_each_file_is_fed_and_told(alpha, tmp_path, capsys):
    known = message("ADT^A04", pid("P1"))
    (tmp_path / "a.hl7").write_bytes(known.replace(b"\r", b"\r\n") + b"\r\n\r\n" + message("ADT^A99", pid("P2")))
    framed = b"\x0b" + order("A1", "QQ^?^99") + b"\x1c\r\x0b" + message("ADT^A08", pid("P3"), modes="AL|NE") + b"\x1c\r"
    (tmp_path / "more.log").write_bytes(framed)
    (tmp_path / "z.txt").write_bytes(batch(message("ADT^A04", pid("P5")), known).replace(b"\r", b"\n"))
    merge = message("ADT^A40", pid("P1"), "MRG|P3^^^CLINIC^MR")
    (tmp_path / "zz").write_bytes(merge)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    lines, summary = fed(tmp_path, capsys)
    assert [(line[0], line[2], line[4]) for line in lines] == [
        ("a.hl7", "ADT^A04", "AA"), ("a.hl7", "ADT^A99", "AR"), ("more.log", "ORM^O01", "AA"),
        ("more.log", "ADT^A08", "AA"), ("z.txt", "BATCH", "AA"), ("z.txt", "BATCH", "AA"), ("zz", "ADT^A40", "AA"),
    ]  # fmt: skip
    assert summary["messages"] == 7 and summary["patients made"] == 2 and summary["patients missing"] == 0
    assert not Patient.objects.exists() and not InboundMessage.objects.exists()
    assert fed(tmp_path, capsys, quiet=True, keep=True)[0] == []
    assert Patient.objects.current().count() == 2 and InboundMessage.objects.count() == 7


def test_a_folder_without_messages_is_refused(alpha, tmp_path):
    with pytest.raises(CommandError):
        call_command("check_data", str(tmp_path), facility="alpha")
    with pytest.raises(CommandError):
        call_command("check_data", str(tmp_path / "nowhere"), facility="alpha")


def test_dose_objects_are_read_and_held_against_what_is_expected(tmp_path, capsys):
    (tmp_path / "ct.dcm").write_bytes(file_of(ct_report(ct_event(500, unit=""), total=500)))
    known = tmp_path / "known.json"
    known.write_text(json.dumps({"ct.dcm": {"events": 1, "dlp_total": 500.0}}))
    call_command("check_data", str(tmp_path), facility="alpha", expected=known)
    *lines, last = capsys.readouterr().out.strip().splitlines()
    assert "    dlp_total = 500" in lines and any("WARNING" in line and "no unit" in line for line in lines)
    assert json.loads(last) == {"dose objects": 1, "events": 1, "warnings": 1, "wrong": 0}
    known.write_text(json.dumps({"ct.dcm": {"dlp_total": 501.0}}))
    with pytest.raises(CommandError):
        call_command("check_data", str(tmp_path), facility="alpha", expected=known, quiet=True)
    assert "501.0 was expected, 500.0 was read" in capsys.readouterr().out
