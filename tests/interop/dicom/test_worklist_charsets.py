"""Character sets of the worklist: what is loaded in one is found and told in another (PS3.5 6.1, PS3.3 C.12.1.1.2)."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from pydicom import Dataset, dcmread
from pydicom.data import get_charset_files
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from interop.dicom.charsets import Spelling, decode, encode_text, terms_of
from interop.dicom.preview import caller_for, told
from interop.dicom.transliteration import transliterated
from interop.models import DicomPeer
from ris.core.actor import Actor
from worklist.services import load_worklist_item
from worklist.services.item_reading import item_of_dataset

from .conftest import make_peer, make_station

#: One patient's name is in each; those with names in a sequence only are read below.
FILES = sorted(Path(name) for name in get_charset_files("chr*.dcm"))
INSTALLER = Actor("command")


def planned(source: Dataset, number: int) -> Dataset:
    """A worklist file about the person of a data set, in the character set it is written in."""
    item, step = Dataset(), Dataset()
    item.SpecificCharacterSet = source.get("SpecificCharacterSet", "")
    item.PatientName = source.PatientName
    item.PatientID, item.AccessionNumber = f"CS{number}", f"CS{number}"
    item.StudyInstanceUID, item.RequestedProcedureID = f"1.2.3.{number}", f"RP{number}"
    item.RequestedProcedureDescription = "CT chest"
    step.ScheduledStationAETitle, step.Modality = "CT1", "CT"
    step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = "20300105", "101500"
    step.ScheduledProcedureStepID = f"S{number}"
    item.ScheduledProcedureStepSequence = [step]
    return item


def written(dataset: Dataset) -> Dataset:
    """What a reader makes of the bytes."""
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, True
    write_dataset(stream, dataset)
    stream.seek(0)
    return dcmread(stream, force=True)


def key(name: object, terms: object) -> Dataset:
    keys = Dataset()
    keys.SpecificCharacterSet, keys.PatientName, keys.AccessionNumber = terms, name, ""
    return keys


def found(peer: DicomPeer, keys: Dataset) -> list[Dataset]:
    last, answers = told(keys, caller=caller_for(peer), actor=INSTALLER)
    assert last.status == 0
    return [dataset for _status, dataset in answers]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_character_set_of_pydicom_goes_in_and_out_and_is_searched_in(alpha, path):
    source = dcmread(path)
    if "PatientName" not in source or not str(source.PatientName):
        source.PatientName = "Only^Sequence"
    make_station("CT1")
    load_worklist_item(item_of_dataset(written(planned(source, 1))), actor=INSTALLER)
    wanted = str(source.PatientName).rstrip("^")
    everything = make_peer("UTF8")
    [item] = found(everything, key("", "ISO_IR 192"))
    assert (str(item.PatientName), item.SpecificCharacterSet) == (wanted, "ISO_IR 192")
    terms = source.get("SpecificCharacterSet", "ISO_IR 6")
    text = "\\".join(terms) if not isinstance(terms, str) else terms
    own = make_peer("OWN", character_set=text)
    [item] = found(own, key(source.PatientName, terms))
    assert str(item.PatientName) == wanted
    assert [item.AccessionNumber] == ["CS1"]
    wild = source.PatientName.family_name[:2] + "*"
    assert len(found(own, key(wild, terms))) == 1
    assert found(own, key("Nobody*", terms)) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_peer_that_reads_latin_only_gets_latin_letters(alpha, path):
    source = dcmread(path)
    if "PatientName" not in source:
        source.PatientName = "Only^Sequence"
    make_station("CT1")
    load_worklist_item(item_of_dataset(planned(source, 1)), actor=INSTALLER)
    for number, character_set in enumerate(("ISO_IR 6", "ISO_IR 100", "")):
        [item] = found(make_peer(f"LATIN{number}", character_set=character_set), key("", "ISO_IR 192"))
        name = str(item.PatientName)
        assert name.encode("latin-1")
        assert "?" not in name and "=" not in name
        assert name[0].isalpha()
        if character_set != "ISO_IR 100":
            assert name.isascii(), character_set


@pytest.mark.parametrize(
    ("text", "character_set", "vr", "expected"),
    [
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "\\ISO 2022 IR 87", b"PN",
         b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"),
        ("ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎", "ISO 2022 IR 13\\ISO 2022 IR 87", b"PN",
         b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J"),
        ("Hong^Gildong=洪^吉洞=홍^길동", "\\ISO 2022 IR 149", b"PN",
         b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf"),
        ("Wang^XiaoDong=王^小东", "GB18030", b"PN", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab"),
        ("Zhang^XiaoDong=张^小东", "\\ISO 2022 IR 58", b"PN",
         b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab"),
        ("Žák^Jiří", "ISO_IR 101", b"PN", b"\xae\xe1k^Ji\xf8\xed"),
        ("Zoë\\Müller", "\\ISO 2022 IR 100", b"LO", b"\x1b-AZo\xeb\\\x1b-AM\xfcller"),
        ("山", "ISO_IR 13", b"LO", b"?"),
        ("é", "\\ISO 2022 IR 87", b"LO", b"e"),
    ],
)  # fmt: skip
def test_text_is_written_as_the_standard_has_it(text, character_set, vr, expected):
    assert encode_text(text, character_set, vr) == expected
    if b"?" not in expected and "é" not in text:
        assert decode(expected, terms_of(character_set)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Müller", "Muller"), ("Łukasz Ørsted", "Lukasz Orsted"), ("Щукин^Юрий", "Shchukin^Yuriy"),
     ("Διονύσιος", "Dionysios"), ("김^희중", "gim^hyijung"), ("やまだ", "yamada"), ("שרון", "shrvn"),
     ("لنزار", "lnzar"), ("山田", "??"), ("ﾔﾏﾀﾞ", "yamada"), ("Йод", "Yod"), ("Ngũgĩ", "Ngugi")],
)  # fmt: skip
def test_letters_become_those_of_the_reader_as_the_last_resort(text, expected):
    assert transliterated(text) == expected


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        (Spelling(), "Yamada^Tarou^^Dr^MD=山田^太郎"),
        (Spelling(groups="alphabetic"), "Yamada^Tarou^^Dr^MD"),
        (Spelling(groups="ideographic"), "山田^太郎"),
        (Spelling(with_affixes=False), "Yamada^Tarou=山田^太郎"),
        (Spelling(groups="alphabetic", in_capitals=True, with_affixes=False), "YAMADA^TAROU"),
    ],
)
def test_names_are_spelled_as_the_peer_wants_them(spelling, expected):
    assert spelling.name("Yamada^Tarou^^Dr^MD=山田^太郎") == expected


def test_spelling_is_a_row_of_the_peer(alpha):
    make_station("CT1")
    source = Dataset()
    source.PatientName = "Yamada^Tarou=山田^太郎"
    source.SpecificCharacterSet = "ISO_IR 192"
    load_worklist_item(item_of_dataset(planned(source, 1)), actor=INSTALLER)
    peer = make_peer("CT1", name_groups="alphabetic", name_in_capitals=True, character_set="ISO_IR 100")
    [item] = found(peer, key("", "ISO_IR 192"))
    assert str(item.PatientName) == "YAMADA^TAROU"
    assert "SpecificCharacterSet" not in item


@pytest.mark.parametrize("wrong", ["UTF-8", "ISO_IR 999", "ISO_IR 192\\ISO 2022 IR 87", "ISO_IR 100\\"])
def test_a_character_set_that_dicom_does_not_know_is_no_peers(alpha, wrong):
    with pytest.raises(ValidationError, match="character set"):
        DicomPeer(ae_title="CT1", character_set=wrong).full_clean()
    DicomPeer(ae_title="CT1", character_set="\\ISO 2022 IR 87").full_clean()
