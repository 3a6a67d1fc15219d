"""``manage.py run_dispatcher``: hands out what is due. Any number may run."""

import signal

from django.core.management.base import BaseCommand

from ris.events.dispatcher import Dispatcher, start_companions


class Command(BaseCommand):
    help = "Hand out due deliveries, messages and escalations to the workers (or do them, when the broker is away)."
    requires_system_checks = ()  # they would load every page of the house first

    def add_arguments(self, parser):
        parser.add_argument("--once", action="store_true", help="Do what is due now, then stop.")
        parser.add_argument("--no-broker", action="store_true", help="Never ask Celery: do everything here.")
        parser.add_argument("--poll", type=float, default=0.2, help="Seconds between two looks when there is work.")

    def handle(self, *args, **options):
        dispatcher = Dispatcher(use_broker=not options["no_broker"], hands=0 if options["once"] else 4)
        if options["once"]:
            self.stdout.write(str(dispatcher.tick()))
            return
        stopping: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda caught, _frame: stopping.append(caught))
        companions = start_companions(lambda: bool(stopping))
        dispatcher.run_forever(poll=options["poll"], stop=lambda: bool(stopping))
        for thread in companions:
            thread.join(timeout=5)
