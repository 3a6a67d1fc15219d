"""One exam from the clerk's desk to the acknowledged result, played against a running house by its real counterparts.

REST for the people, DICOM for the scanner, MLLP for the hospital's system. Prints what was sent and what came back, and
stops at the first thing that is not as it should be.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx


class NotAsItShouldBe(Exception):
    """What was expected, and what came."""


@dataclass
class House:
    """Where the running house is, and how its people sign in."""

    url: str
    password: str
    called_ae: str
    dicom_port: int
    host_header: str = ""
    say: Callable[[str], None] = print
    tokens: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        headers = {"Host": self.host_header} if self.host_header else {}
        self.client = httpx.Client(base_url=self.url, timeout=30, trust_env=False, headers=headers)

    def token(self, username: str) -> str:
        if username not in self.tokens:
            body = {"username": username, "password": self.password}
            answer = self.client.post("/api/v1/auth/token", json=body)
            if answer.status_code != 200:
                raise NotAsItShouldBe(f"{username} cannot sign in: {answer.status_code} {answer.text[:300]}")
            self.tokens[username] = answer.json()["access_token"]
        return self.tokens[username]

    def ask(
        self, who: str, method: str, path: str, body: Any = None, *, expect: int | tuple[int, ...] = 200, **headers: str
    ) -> httpx.Response:
        """One REST call; says it, and insists on its status."""
        wanted = (expect,) if isinstance(expect, int) else expect
        answer = self.client.request(
            method,
            f"/api/v1/{path}",
            json=body,
            headers={
                "Authorization": f"Bearer {self.token(who)}",
                **{k.replace("_", "-"): v for k, v in headers.items()},
            },
        )
        self.say(f"    {who}: {method} /api/v1/{path} -> {answer.status_code}")
        if answer.status_code not in wanted:
            raise NotAsItShouldBe(f"{method} {path}: expected {wanted}, got {answer.status_code}: {answer.text[:600]}")
        return answer

    def browser(self, username: str) -> httpx.Client:
        """A client that has signed in on the page, as a browser does."""
        client = httpx.Client(base_url=self.url, timeout=30, trust_env=False, headers=dict(self.client.headers))
        client.get("/sign-in/")
        form = {"username": username, "password": self.password}
        for name, value in client.cookies.items():
            if "csrf" in name:
                form["csrfmiddlewaretoken"] = value
        answer = client.post("/sign-in/", data=form, headers={"Referer": f"{self.url}/sign-in/"})
        if answer.status_code != 302:
            raise NotAsItShouldBe(f"{username} cannot sign in on the page: {answer.status_code}")
        return client

    def get(self, who: str, path: str, **kwargs: Any) -> Any:
        return self.ask(who, "GET", path, **kwargs).json()

    def post(self, who: str, path: str, body: Any = None, **kwargs: Any) -> Any:
        return self.ask(who, "POST", path, body if body is not None else {}, **kwargs).json()

    def wait_for(self, what: str, look: Callable[[], Any], *, seconds: float = 30) -> Any:
        """Ask again until the answer is there: what is delivered after the commit takes a moment."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = look()
            if found:
                return found
            time.sleep(0.3)
        raise NotAsItShouldBe(f"{what}: not within {seconds:.0f} s")


def must(is_so: Any, words: str) -> None:
    if not is_so:
        raise NotAsItShouldBe(words)


@dataclass
class Walk:
    """The exam's own facts, as they become known."""

    house: House
    emulator: Callable[[str], Any]
    receiver: Any
    patient: dict[str, Any] = field(default_factory=dict)
    order: dict[str, Any] = field(default_factory=dict)
    procedure: dict[str, Any] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)
    appointment: dict[str, Any] = field(default_factory=dict)
    step_number: int = 0

    def title(self, words: str) -> None:
        self.step_number += 1
        self.house.say(f"\n{self.step_number}. {words}")

    def run(self) -> None:
        self.register()
        self.order_exam()
        self.schedule()
        self.query_worklist()
        self.perform()
        self.store_another_patient()
        self.complete()
        self.read()
        self.sign()
        self.deliver()
        self.acknowledge()
        self.look_back()

    # --- the clerk

    def register(self) -> None:
        self.title("A clerk finds no duplicate and registers a patient")
        mark = "".join(secrets.choice("bcdfghklmnprst") + secrets.choice("aeiou") for _ in range(3)).capitalize()
        birth_date = date(1960, 1, 1) + timedelta(days=secrets.randbelow(15000))
        person = {
            "family_name": f"Walk{mark.lower()}",
            "given_name": "Neema",
            "birth_date": birth_date.isoformat(),
            "sex": "F",
        }
        found = self.house.post("clerk", "patients/duplicates/", person)
        candidates = found if isinstance(found, list) else found["results"]
        must(not [row for row in candidates if row["score"] > 0.9], "a new name has a certain duplicate")
        created = self.house.ask("clerk", "POST", "patients/", person, expect=201, Idempotency_Key=secrets.token_hex(8))
        self.patient = created.json()
        must(self.patient["identifiers"], "the patient has no identifier")
        again = self.house.post("clerk", "patients/duplicates/", person)
        candidates = again if isinstance(again, list) else again["results"]
        must(candidates and candidates[0]["score"] > 0.9, "the second time, the patient is not found as a duplicate")

    def order_exam(self) -> None:
        self.title("The clerk orders a CT chest with contrast: accession number and UID exist from now on")
        catalogue = self.house.get("clerk", "catalogue/?modality=CT&page_size=200")["results"]
        exam = next(
            (
                row
                for row in catalogue
                if "chest" in row["name"].lower() and row["uses_contrast"] and not row["needs_vetting"]
            ),
            None,
        )
        must(exam, "the catalogue has no CT chest with contrast")
        body = {
            "patient": self.patient["id"],
            "priority": "urgent",
            "indication": "Sudden breathlessness. Pulmonary embolism?",
            "procedures": [{"code": exam["code"], "laterality": ""}],  # type: ignore[index]
        }
        referrer = self.house.get("clerk", "practitioners/")["results"]
        requester = next((row for row in referrer if row.get("username") == "referrer"), None)
        if requester:
            body["requester"] = requester["id"]
        self.order = self.house.post("clerk", "orders/", body, expect=201)
        self.procedure = self.order["procedures"][0]
        must(len(self.procedure["accession_number"]) <= 16, "the accession number is too long")
        must(self.procedure["study_instance_uid"], "there is no Study Instance UID")
        self.house.say(f"    accession number {self.procedure['accession_number']}")

    def schedule(self) -> None:
        self.title("The clerk books CT1; a second booking of the same time is refused")
        now = datetime.now(UTC).replace(second=0, microsecond=0)
        body = {"procedure": self.procedure["id"], "station": "CT1", "duration_minutes": 5}
        for minutes in range(0, 24 * 60, 5):
            body["starts_at"] = (now + timedelta(minutes=minutes)).isoformat()
            answer = self.house.ask("clerk", "POST", "appointments/", body, expect=(201, 409))
            if answer.status_code == 201:
                self.appointment = answer.json()
                break
        must(answer.status_code == 201, "no time was free on CT1 today")
        other = self.house.post(
            "clerk",
            "orders/",
            {
                "patient": self.patient["id"],
                "priority": "routine",
                "indication": "Second",
                "procedures": [{"code": self.procedure["code"]}],
            },
            expect=201,
        )["procedures"][0]
        refusal = self.house.ask(
            "clerk", "POST", "appointments/", {**body, "procedure": other["id"]}, expect=409
        ).json()
        must(refusal.get("found") and refusal.get("todo"), "the refusal does not say what was found and what to do")
        self.house.say(f"    refused: {refusal['found']} {refusal['todo']}")
        self.house.post("clerk", f"procedures/{other['id']}/cancel/", {"reason_code": "110510", "reason_text": "Walk"})
        self._expect_status("scheduled")

    # --- the scanner

    def query_worklist(self) -> None:
        self.title("The scanner asks for its worklist; another station gets nothing of it")
        accession = self.procedure["accession_number"]
        mine = self.emulator("CT1").query_worklist(accession_number=accession)
        must(len(mine) == 1, f"CT1 got {len(mine)} items for this accession number")
        must(mine[0].StudyInstanceUID == self.procedure["study_instance_uid"], "the Study Instance UID is another")
        must(not self.emulator("CT2").query_worklist(accession_number=accession), "CT2 sees what is CT1's")
        self.house.say(f"    C-FIND: {mine[0].PatientName}, {mine[0].AccessionNumber}")
        self.item = mine[0]

    def perform(self) -> None:
        self.title("The exam is performed: MPPS, images, dose report; wrong repeats are refused")
        self.house.post("clerk", f"appointments/{self.appointment['id']}/arrive/")
        scanner = self.scanner = self.emulator("CT1")
        must(scanner.start(self.item) == 0x0000, "N-CREATE was refused")
        must(scanner.repeat_start() == 0x0111, "a repeated N-CREATE is not answered 0x0111")
        must(scanner.set_unknown() == 0x0112, "an N-SET of an unknown step is not answered 0x0112")
        self._expect_status("in_progress")
        sent = scanner.store_images(12)
        must(all(status == 0 for status in sent), f"C-STORE of images: {sent}")
        must(scanner.store_dose_report() == 0, "C-STORE of the dose report was refused")
        self.house.say(f"    C-STORE: {len(sent)} images and a dose report, 0x0000")

    def store_another_patient(self) -> None:
        self.title("An object that names another patient waits for a person")
        stranger = self.emulator("CT1")
        must(stranger.store_wrong_patient(self.item) == 0, "the object was not accepted")
        waiting = self.house.wait_for(
            "the exception",
            lambda: [
                row
                for row in self.house.get("technologist", "exceptions/?kind=patient_differs")["results"]
                if not row.get("resolved_at")
            ],
        )
        self.house.say(f"    {len(waiting)} waiting")

    def complete(self) -> None:
        self.title("The step ends; the technologist completes the exam")
        must(self.scanner.complete() == 0x0000, "N-SET COMPLETED was refused")
        must(self.scanner.complete() == 0x0110, "an N-SET of a final step is not answered 0x0110")
        steps = self.house.get("technologist", f"steps/?accession_number={self.procedure['accession_number']}")[
            "results"
        ]
        must(len(steps) == 1, f"{len(steps)} scheduled steps instead of one")
        self.house.post("technologist", f"steps/{steps[0]['id']}/complete/")
        studies = self.house.get("technologist", f"studies/?procedure={self.procedure['id']}")
        must(studies["results"], "no study is linked")
        counts = studies["results"][0]
        must(counts["instance_count"] == 13, f"{counts['instance_count']} instances instead of 13")
        self._wait_status("ready_to_read")

    # --- the reader

    def read(self) -> None:
        self.title("The radiologist finds it in the reading list, opens it and sees the images")
        rows = self.house.get("radiologist", "reading-list/?page_size=200")["results"]
        must(any(row["id"] == self.procedure["id"] for row in rows), "it is not in the reading list")
        self.report = self.house.post("radiologist", "reports/", {"procedures": [self.procedure["id"]]}, expect=201)
        study = self.house.get("radiologist", f"studies/?procedure={self.procedure['id']}")["results"][0]
        instances = self.house.get("radiologist", f"studies/{study['id']}/instances/")
        rows = instances["results"] if isinstance(instances, dict) else instances
        picture = next(row for row in rows if row.get("rows"))
        browser = self.house.browser("radiologist")
        answer = browser.get(f"/images/{picture['sop_instance_uid']}/frames/1.png")
        must(answer.status_code == 200 and answer.content[:4] == b"\x89PNG", f"no picture: {answer.status_code}")
        self.house.say(f"    a picture of {len(answer.content)} bytes")

    def sign(self) -> None:
        self.title(
            "The radiologist writes and signs, preliminary, then final; a signed version stays; an addendum adds one"
        )
        path = f"reports/{self.report['id']}/"
        sections = {
            "findings": "No filling defect. Lungs clear. Ünïcödé: Ωμέγα.",
            "impression": "No pulmonary embolism.",
        }
        self.report = self.house.ask(
            "radiologist", "PATCH", path, {"sections": sections, "revision": self.report["revision"]}
        ).json()
        self.report = self.house.post("radiologist", f"{path}sign-preliminary/")
        must(self.report["status"] == "preliminary", f"the report is {self.report['status']}")
        self._wait_message("the preliminary report", "|P|")
        self.report = self.house.post("radiologist", f"{path}sign/")
        must(self.report["status"] == "final", f"the report is {self.report['status']}")
        self._wait_message("the final report", "No pulmonary embolism.", "|F|")
        changed = {"sections": {"impression": "Something else."}, "revision": self.report["revision"]}
        self.house.ask("radiologist", "PATCH", path, changed, expect=409)
        self.house.ask("radiologist", "POST", f"{path}sign/", {}, expect=409)
        self.report = self.house.post(
            "radiologist", f"{path}addendum/", {"text": "Compared with outside CT: no change."}
        )
        must(self.report["status"] == "appended", f"the report is {self.report['status']}")
        must(len(self.report["versions"]) == 3, f"{len(self.report['versions'])} versions instead of 3")

    def deliver(self) -> None:
        self.title("ORU^R01 leaves over MLLP and is acknowledged; the PDF prints")
        self._wait_message("the addendum", "Compared with outside CT: no change.")
        accession = self.procedure["accession_number"]
        count = sum(accession in message for message in self.receiver.messages())
        self.house.say(f"    {count} ORU^R01 received for {accession}: preliminary, final, addendum")
        answer = self.house.ask("radiologist", "GET", f"reports/{self.report['id']}/pdf/")
        must(answer.content[:5] == b"%PDF-", "the PDF is not one")
        self.house.say(f"    a PDF of {len(answer.content)} bytes")

    def acknowledge(self) -> None:
        self.title("The referring physician opens the result and acknowledges it: the exam is distributed")
        rows = self.house.get("referrer", f"deliveries/?report={self.report['id']}")["results"]
        open_rows = [row for row in rows if row["status"] not in ("acknowledged", "superseded")]
        must(open_rows, "no result waits for the referring physician")
        for row in open_rows:
            self.house.post("referrer", f"deliveries/{row['id']}/acknowledge/")
        self._wait_status("distributed")

    def look_back(self) -> None:
        self.title("Timeline and audit tell who did what, through which door, when")
        entries = self.house.get("radiologist", f"procedures/{self.procedure['id']}/timeline/")
        rows = entries["results"] if isinstance(entries, dict) else entries
        for row in rows:
            self.house.say(f"    {row['at'][:19]}  {row['door']:<8} {row['who']:<24} {row['what']}")
        must(len(rows) >= 8, f"the timeline has only {len(rows)} entries")
        audit = self.house.get(
            "qa", f"audit-events/?accession_number={self.procedure['accession_number']}&page_size=200"
        )
        must(len(audit["results"]) >= 8, f"the audit has only {len(audit['results'])} rows")
        self.house.say(f"    {len(audit['results'])} audit rows")

    # --- looking

    def _wait_message(self, what: str, *words: str) -> None:
        """An ORU^R01 about this exam that holds all of these words has been received."""

        def look() -> bool:
            wanted = ("ORU^R01", self.procedure["accession_number"], *words)
            return any(all(word in message for word in wanted) for message in self.receiver.messages())

        self.house.wait_for(f"an ORU^R01 with {what}", look)

    def _status(self) -> str:
        return self.house.get("radiologist", f"procedures/{self.procedure['id']}/")["status"]

    def _expect_status(self, status: str) -> None:
        found = self._status()
        must(found == status, f"the exam is {found}, not {status}")

    def _wait_status(self, status: str) -> None:
        self.house.wait_for(f"the exam is {status}", lambda: self._status() == status, seconds=60)
