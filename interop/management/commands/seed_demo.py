"""``manage.py seed_demo``: believable data for the demo's facilities; repeatable."""

import json

from django.core.management.base import BaseCommand
from django.db import transaction

from interop.demo.seed import seed_facility
from ris.tenants.context import active_schemas, use_facility

FACILITIES = {
    "demo": {
        "prefix": "PDH-",
        "letterhead": "Picha Demo Hospital\nDepartment of Radiology\nPlot 4, Invented Road",
        "patients": 20,
        "exams": None,
    },
    "second": {
        "prefix": "SIC-",
        "letterhead": "Second Imaging Centre\nPlot 9, Other Street",
        "patients": 6,
        "exams": 12,
    },
}


class Command(BaseCommand):
    help = "Fill the demo's facilities with people, rooms, patients and exams in every state."

    def add_arguments(self, parser):
        parser.add_argument("--facility", help="Only this one.")

    def handle(self, *args, **options):
        present = set(active_schemas())
        answer = {}
        for schema, what in FACILITIES.items():
            if schema in present and options["facility"] in (None, schema):
                with use_facility(schema), transaction.atomic():
                    answer[schema] = seed_facility(**what)
        self.stdout.write(json.dumps(answer))
