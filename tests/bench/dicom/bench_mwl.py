"""Modality worklist: 10 answers of N scheduled steps, against the C floor and DCMTK's wlmscpfs, in interleaved rounds.

    .venv/bin/python tests/bench/dicom/bench_mwl.py [steps]

The answers of both servers are compared before anything is timed. Ratios are of medians of the rounds.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import sys
from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.bench.dicom import harness

STEPS = int(os.environ.get("BENCH_STEPS", "10000"))
FEW, MANY = 1000, 50_000
STATIONS, PER_DAY, ROUNDS, DAYS_OF_MANY = 20, 10, 5, 5
MWL = "1.2.840.10008.5.1.4.31"
OF_THE_STEP = [
    "ScheduledProcedureStepStartTime",
    "ScheduledProcedureStepDescription",
    "ScheduledProcedureStepID",
    "ScheduledPerformingPhysicianName",
    "ScheduledStationName",
    "ScheduledProcedureStepLocation",
]
OF_THE_PROCEDURE = [
    "AccessionNumber",
    "ReferringPhysicianName",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "RequestedProcedureDescription",
    "RequestedProcedureID",
    "RequestedProcedurePriority",
    "MedicalAlerts",
    "Allergies",
    "CurrentPatientLocation",
]


def identifier(station: str, day: str) -> bytes:
    """What a CT asks: its station and today."""
    from pydicom.dataset import Dataset
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    step = Dataset()
    step.Modality, step.ScheduledStationAETitle, step.ScheduledProcedureStepStartDate = "CT", station, day
    for keyword in OF_THE_STEP:
        setattr(step, keyword, "")
    asked = Dataset()
    for keyword in OF_THE_PROCEDURE:
        setattr(asked, keyword, "")
    asked.PatientWeight = None
    asked.ScheduledProcedureStepSequence = [step]
    target = DicomBytesIO()
    target.is_little_endian, target.is_implicit_VR = True, True
    write_dataset(target, asked)
    return target.getvalue()


def fill(cursor: Any, step: Any, count: int, first: int = 0) -> None:
    """``count`` steps of as many exams, on 20 stations, ten of a station and day; each its own rendered item.

    ``first``: how many there are already.
    """
    procedure, order, patient = step.procedure, step.procedure.order, step.procedure.order.patient
    at = bytes(step.item).index(step.key_accession_number.encode()) + 1
    width = len(step.key_accession_number)
    g = f"(g + {first})"
    number = f"lpad({g}::text, {width}, '0')"
    new = "gen_random_uuid()"
    harness.multiply(cursor, "orders_patient", patient.pk, count, uuid=new)
    harness.multiply(
        cursor, "orders_order", order.pk, count, uuid=new, filler_order_number=f"'B' || {g}", placer_order_number="''",
        patient_id=f"(select max(id) - {count} + g from orders_patient)",
    )  # fmt: skip
    harness.multiply(
        cursor, "orders_requestedprocedure", procedure.pk, count, uuid=new, accession_number=number,
        study_instance_uid=f"'1.2.826.0.1.3680043.9.3811.77.' || {g}", requested_procedure_id=f"'B' || {g}",
        order_id=f"(select max(id) - {count} + g from orders_order)",
    )  # fmt: skip
    harness.multiply(
        cursor, "worklist_scheduledprocedurestep", step.pk, count, uuid=new, appointment_id="null",
        scheduled_procedure_step_id=f"'B' || {g}", key_accession_number=number,
        key_station_ae=f"'BENCH' || ({g} % {STATIONS})",
        key_date=f"source.key_date + ({g} / {STATIONS * PER_DAY})::int",
        item=f"overlay(source.item placing convert_to({number}, 'UTF8') from {at})",
        procedure_id=f"(select max(id) - {count} + g from orders_requestedprocedure)",
        key_patient=f"(select uuid from orders_patient where id = (select max(id) - {count} + g from orders_patient))",
    )  # fmt: skip
    harness.looked_after(cursor.connection.info.dbname)


def worklist_files(folder: Path, rows: Any) -> None:
    """The same items as the files that wlmscpfs reads."""
    from pydicom.filereader import read_dataset
    from pydicom.filewriter import dcmwrite

    folder.mkdir(parents=True)
    (folder / "lockfile").touch()
    for key, item, station, day in rows:
        dataset = read_dataset(BytesIO(bytes(item)), True, True)
        only = dataset.ScheduledProcedureStepSequence[0]
        only.ScheduledStationAETitle, only.ScheduledProcedureStepStartDate = station, f"{day:%Y%m%d}"
        dcmwrite(folder / f"{key}.wl", dataset, implicit_vr=True, little_endian=True, enforce_file_format=False)


def figures(name: str, rounds: list[dict[str, Any]]) -> tuple[float, float]:
    """(median time, median rate) of the rounds."""
    assert not any(one["failed"] or one["bad_status"] != -1 for one in rounds), f"{name}: {rounds}"
    return statistics.median(one["p50"] for one in rounds), statistics.median(one["rate"] for one in rounds)


def made_ready(facility: str, count: int) -> Any:
    """``count`` steps and a peer LOAD in a facility; the first of the steps."""
    from django.db import connection

    from interop.models import DicomPeer
    from ris.tenants.context import use_facility
    from tests.factories.exam import booked_exam
    from worklist.models import ScheduledProcedureStep

    with use_facility(facility):
        booked_exam()
        step = ScheduledProcedureStep.objects.get()
        DicomPeer.objects.create(ae_title="LOAD", may_query_worklist=True, max_results=0)
        with connection.cursor() as cursor:
            fill(cursor, step, count)
    return step


def queried(day: Any, days: int = 1) -> tuple[bytes, bytes]:
    """The command and the identifier of a C-FIND: of one station on one day, or of all in the days after it."""
    asked = harness.command(
        (2, harness.uid(MWL)), (0x100, harness.short(0x20)), (0x110, harness.short(1)),
        (0x700, harness.short(0)), (0x800, harness.short(1)),
    )  # fmt: skip
    if days == 1:
        return asked, identifier("BENCH7", f"{day:%Y%m%d}")
    return asked, identifier("", f"{day + timedelta(days=1):%Y%m%d}-{day + timedelta(days=days):%Y%m%d}")


@contextlib.contextmanager
def servers(tmp_path: Path, files: Path, associate: bytes, asked: bytes, data: bytes) -> Iterator[dict[str, Any]]:
    """Ours, the floor that repeats our bytes, wlmscpfs and Orthanc where installed: ports by name, and our process."""
    ours, floors, theirs, third = (harness.free_port() for _port in range(4))
    floor = harness.built("floor", tmp_path)
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(harness.our_server(ours, tmp_path / "ours.log"))
        accepted, answer = harness.recorded(ours, associate, asked, data)
        (tmp_path / "accepted").write_bytes(accepted)
        (tmp_path / "answer").write_bytes(answer)
        words = [str(floor), str(floors), str(tmp_path / "accepted"), str(tmp_path / "answer")]
        stack.enter_context(harness.running(words, floors, tmp_path / "floor.log"))
        found = {"ours": ours, "floor": floors, "process": process, "bytes": len(answer)}
        if shutil.which("wlmscpfs") is not None:
            words = ["wlmscpfs", "-q", "-csk", "-dhl", "-dfp", str(files), "--max-associations", "100", str(theirs)]
            stack.enter_context(harness.running(words, theirs, tmp_path / "peer.log", TCP_NODELAY="1"))
            found["wlmscpfs"] = theirs
        orthanc = harness.orthanc(third, tmp_path / "orthanc", files / "ALPHA")
        if orthanc is not None:
            stack.enter_context(orthanc)
            found["orthanc"] = third
        yield found


class Rounds:
    """Interleaved runs by name; medians of them."""

    def __init__(self) -> None:
        self.lines: dict[str, list[dict[str, Any]]] = {}

    def run(self, name: str, load: Any, port: int, **how: Any) -> None:
        self.lines.setdefault(name, []).append(load.run(port, **how))

    def time(self, name: str) -> float:
        return figures(name, self.lines[name])[0]

    def rate(self, name: str) -> float:
        return figures(name, self.lines[name])[1]

    def table(self) -> None:
        for name in self.lines:
            sys.stdout.write(f"     {name:28} p50 {self.time(name) * 1000:9.3f} ms {self.rate(name):10.1f}/s\n")


def test_modality_worklist(transactional_db, tmp_path, capsys):
    from django.db import connection

    from ris.tenants.context import use_facility
    from worklist.models import ScheduledProcedureStep

    step = made_ready("alpha", STEPS)
    made_ready("beta", FEW)
    with use_facility("alpha"):
        rows = list(
            ScheduledProcedureStep.objects.exclude(pk=step.pk).values_list("pk", "item", "key_station_ae", "key_date")
        )
    day = min(row[3] for row in rows if row[2] == "BENCH7")
    wanted = sum(row[2:] == ("BENCH7", day) for row in rows)
    connection.close()
    program = harness.built("load", tmp_path)
    queries = (("one", "ALPHA", 1), ("wide", "ALPHA", DAYS_OF_MANY), ("few", "BETA", 1))
    load, wide, few = (
        harness.Load(
            program, made(tmp_path / name), harness.associate_request(called, "LOAD", MWL), *queried(day, days)
        )
        for name, called, days in queries
    )
    worklist_files(tmp_path / "wl" / "ALPHA", rows)
    rounds, held = Rounds(), []
    associate = harness.associate_request("ALPHA", "LOAD", MWL)
    with capsys.disabled(), servers(tmp_path, tmp_path / "wl", associate, *queried(day)) as port:
        peers = [name for name in ("ours", "wlmscpfs", "orthanc") if name in port]
        sys.stdout.write(f"\n{STEPS} steps, {wanted} answers, {port['bytes']} bytes; against: floor, {peers[1:]}\n")
        first = {name: load.run(port[name], count=1, warm=0)["answers"] for name in peers}
        assert first == dict.fromkeys(peers, wanted)
        many = {name: wide.run(port[name], count=1, warm=0)["answers"] for name in peers}
        assert len(set(many.values())) == 1
        load.run(port["ours"], count=200, threads=16)
        harness.hurry_database(connection.settings_dict["NAME"])
        begun = harness.seconds_of_cpu(port["process"])
        for _round in range(ROUNDS):
            for mode, threads, count in (("new", 1, 100), ("keep", 1, 200), ("new", 16, 300)):
                for name in ("ours", "floor"):
                    rounds.run(f"{mode} x{threads} {name}", load, port[name], count=count, mode=mode, threads=threads)
        spent = (harness.seconds_of_cpu(port["process"]) - begun) / (ROUNDS * (102 + 202 + 302))
        for _round in range(ROUNDS):
            rounds.run("wide ours", wide, port["ours"], count=5, mode="keep")
            for name in peers[1:]:
                rounds.run(f"new x1 {name}", load, port[name], count=2, warm=0)
                rounds.run(f"wide {name}", wide, port[name], count=1, warm=0, mode="keep")
        with use_facility("alpha"), connection.cursor() as cursor:
            fill(cursor, step, MANY - STEPS, STEPS)
        connection.close()
        for _round in range(ROUNDS):
            rounds.run(f"{FEW} steps", few, port["ours"], count=100)
            rounds.run(f"{MANY} steps", load, port["ours"], count=100)
        rounds.table()
        sys.stdout.write(f"     CPU of a query {spent * 1000:.2f} ms\n")
        ours = rounds.time("new x1 ours")
        held.append(harness.told("C-FIND, new association: times the floor", ours / rounds.time("new x1 floor"), 3))
        growth = rounds.time(f"{MANY} steps") / rounds.time(f"{FEW} steps")
        held.append(harness.told(f"p50 at {MANY} steps / at {FEW}", growth, 1.3))
        refused = sum(one["failed"] for one in rounds.lines["new x16 ours"])
        held.append(harness.told("16 at once: not answered", refused, 0))
        if "wlmscpfs" in port:
            theirs = rounds.time("new x1 wlmscpfs") / ours
            held.append(harness.told("C-FIND, new association: times faster than wlmscpfs", theirs, 300, least=True))
            theirs = rounds.time("wide wlmscpfs") / rounds.time("wide ours")
            words = f"{many['ours']} answers: times wlmscpfs's rate"
            held.append(harness.told(words, theirs, 60, least=True))
        if "orthanc" in port:
            told_of_orthanc(rounds, ours, many["ours"])
    assert all(held)


def told_of_orthanc(rounds: Rounds, ours: float, many: int) -> None:
    one, wide = (rounds.time(f"{name} orthanc") for name in ("new x1", "wide"))
    words = f"{one / ours:.0f} times slower, {wide / rounds.time('wide ours'):.0f} with {many} answers"
    sys.stdout.write(f"     Orthanc: {words}\n")


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[3]
    if len(sys.argv) > 1:
        os.environ["BENCH_STEPS"] = sys.argv[1]
    sys.exit(pytest.main([__file__, "-q", "-s", f"--rootdir={root}", "-c", str(root / "pyproject.toml")]))
