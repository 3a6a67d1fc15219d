"""Modality worklist: 10 answers of N scheduled steps, against the C floor and DCMTK's wlmscpfs, in interleaved rounds.

    .venv/bin/python tests/bench/dicom/bench_mwl.py [steps]

The answers of both servers are compared before anything is timed. Ratios are of medians of the rounds.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

STEPS = int(os.environ.get("BENCH_STEPS", "10000"))
STATIONS, PER_DAY, ROUNDS = 20, 10, 5
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


def fill(cursor: Any, step: Any, count: int) -> None:
    """``count`` steps of as many exams, on 20 stations, ten of a station and day; each its own rendered item."""
    from tests.bench.dicom.harness import multiply

    procedure, order, patient = step.procedure, step.procedure.order, step.procedure.order.patient
    at = bytes(step.item).index(step.key_accession_number.encode()) + 1
    width = len(step.key_accession_number)
    number = f"lpad((g)::text, {width}, '0')"
    new = "gen_random_uuid()"
    multiply(cursor, "orders_patient", patient.pk, count, uuid=new)
    multiply(
        cursor, "orders_order", order.pk, count, uuid=new, filler_order_number="'B' || g", placer_order_number="''",
        patient_id=f"(select max(id) - {count} + g from orders_patient)",
    )  # fmt: skip
    multiply(
        cursor, "orders_requestedprocedure", procedure.pk, count, uuid=new, accession_number=number,
        study_instance_uid="'1.2.826.0.1.3680043.9.3811.77.' || g", requested_procedure_id="'B' || g",
        order_id=f"(select max(id) - {count} + g from orders_order)",
    )  # fmt: skip
    multiply(
        cursor, "worklist_scheduledprocedurestep", step.pk, count, uuid=new, appointment_id="null",
        scheduled_procedure_step_id="'B' || g", key_accession_number=number,
        key_station_ae=f"'BENCH' || (g % {STATIONS})",
        key_date=f"source.key_date + (g / {STATIONS * PER_DAY})::int",
        item=f"overlay(source.item placing convert_to({number}, 'UTF8') from {at})",
        procedure_id=f"(select max(id) - {count} + g from orders_requestedprocedure)",
    )  # fmt: skip
    cursor.execute("analyze")


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


def test_modality_worklist(transactional_db, tmp_path, capsys):
    from django.db import connection

    from interop.models import DicomPeer
    from ris.tenants.context import use_facility
    from tests.bench.dicom import harness
    from tests.factories.exam import booked_exam
    from worklist.models import ScheduledProcedureStep

    with use_facility("alpha"):
        booked_exam()
        step = ScheduledProcedureStep.objects.get()
        DicomPeer.objects.create(ae_title="LOAD", may_query_worklist=True, max_results=0)
        with connection.cursor() as cursor:
            fill(cursor, step, STEPS)
        rows = list(
            ScheduledProcedureStep.objects.exclude(pk=step.pk).values_list("pk", "item", "key_station_ae", "key_date")
        )
        day = min(row[3] for row in rows if row[2] == "BENCH7")
        wanted = sum(row[2:] == ("BENCH7", day) for row in rows)
    connection.close()
    program, floor = harness.built("load", tmp_path), harness.built("floor", tmp_path)
    asked = harness.command(
        (2, harness.uid(MWL)), (0x100, harness.short(0x20)), (0x110, harness.short(1)),
        (0x700, harness.short(0)), (0x800, harness.short(1)),
    )  # fmt: skip
    data = identifier("BENCH7", f"{day:%Y%m%d}")
    associate = harness.associate_request("ALPHA", "LOAD", MWL)
    load = harness.Load(program, tmp_path, associate, asked, data)
    ours, floors, theirs = harness.free_port(), harness.free_port(), harness.free_port()
    worklist_files(tmp_path / "wl" / "ALPHA", rows)
    has_peer = shutil.which("wlmscpfs") is not None
    with harness.our_server(ours, tmp_path / "ours.log") as server:
        accepted, answer = harness.recorded(ours, associate, asked, data)
        (tmp_path / "accepted").write_bytes(accepted)
        (tmp_path / "answer").write_bytes(answer)
        lines: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
        floor_words = [str(floor), str(floors), str(tmp_path / "accepted"), str(tmp_path / "answer")]
        peer_words = ["wlmscpfs", "-q", "-csk", "-dhl", "-dfp", str(tmp_path / "wl"), "--max-associations", "100"]
        if not has_peer:
            peer_words = floor_words
        with (
            harness.running(floor_words, floors, tmp_path / "floor.log"),
            harness.running([*peer_words, str(theirs)], theirs, tmp_path / "peer.log", TCP_NODELAY="1"),
        ):
            first = {name: load.run(port, count=1, warm=0) for name, port in (("ours", ours), ("wlmscpfs", theirs))}
            assert {name: one["answers"] for name, one in first.items()} == {"ours": wanted, "wlmscpfs": wanted}
            begun = harness.seconds_of_cpu(server)
            for _round in range(ROUNDS):
                for mode, threads, count in (("new", 1, 100), ("keep", 1, 200), ("new", 16, 300)):
                    for name, port in (("ours", ours), ("floor", floors)):
                        done = load.run(port, count=count, mode=mode, threads=threads)
                        lines.setdefault((mode, name, threads), []).append(done)
                lines.setdefault(("new", "wlmscpfs", 1), []).append(load.run(theirs, count=2, warm=0))
            spent = (harness.seconds_of_cpu(server) - begun) / (ROUNDS * (102 + 202 + 302))
    with capsys.disabled():
        sys.stdout.write(f"\n{STEPS} steps, {wanted} answers, {len(answer)} bytes; {spent * 1000:.2f} ms CPU a query\n")
        for (mode, name, threads), rounds in lines.items():
            median, rate = figures(name, rounds)
            base = figures("floor", lines[(mode, "floor", threads)])
            sys.stdout.write(
                f"{mode:5} x{threads:<3} {name:9} p50 {median * 1000:9.3f} ms  {rate:9.1f}/s"
                f"  {median / base[0]:8.1f} x the floor's time\n"
            )
    mine, floor_time = figures("ours", lines[("new", "ours", 1)])[0], figures("floor", lines[("new", "floor", 1)])[0]
    assert mine <= 3 * floor_time
    assert not has_peer or figures("wlmscpfs", lines[("new", "wlmscpfs", 1)])[0] >= 300 * mine


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[3]
    sys.path.insert(0, str(root))
    if len(sys.argv) > 1:
        os.environ["BENCH_STEPS"] = sys.argv[1]
    sys.exit(pytest.main([__file__, "-q", "-s", f"--rootdir={root}", "-c", str(root / "pyproject.toml")]))
