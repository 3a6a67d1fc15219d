"""``manage.py seed_demo``: believable data for the demo's facilities; repeatable."""

import json

from django.core.management.base import BaseCommand
from django.db import transaction

from interop.demo.seed import seed_house, seed_work
from interop.demo.traffic import wait_from_now
from interop.demo.week import seed_week
from ris.tenants.context import active_schemas, use_facility

HOUSES = {
    "demo": {
        "prefix": "PDH-",
        "letterhead": "Picha Demo Hospital\nDepartment of Radiology\nPlot 4, Invented Road",
    },
    "second": {"prefix": "SIC-", "letterhead": "Second Imaging Centre\nPlot 9, Other Street"},
}
WORK = {"demo": {"patients": 20, "exams": None}, "second": {"patients": 6, "exams": 12}}


class Command(BaseCommand):
    help = "Fill the demo's facilities with people, rooms, patients and exams in every state."

    def add_arguments(self, parser):
        parser.add_argument("--facility", choices=HOUSES, help="Only this one.")

    def handle(self, *args, **options):
        present = set(active_schemas())
        wanted = [schema for schema in HOUSES if schema in present and options["facility"] in (None, schema)]
        stages, answer = {}, {}
        for schema in wanted:
            with use_facility(schema), transaction.atomic():
                stages[schema] = seed_house(**HOUSES[schema])
        for schema in wanted:
            with use_facility(schema), transaction.atomic():
                answer[schema] = seed_work(stages[schema], **WORK[schema]) | seed_week()
                wait_from_now()
        self.stdout.write(json.dumps(answer))
