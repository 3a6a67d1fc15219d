from celery import shared_task

from ris.events import dispatcher, services


@shared_task(acks_late=True, ignore_result=True)
def do_work(*, source: str, item: int) -> None:
    """One piece of work that the dispatcher claimed; may run twice."""
    dispatcher.run_work(source, item)


@shared_task(ignore_result=True)
def forget_old_idempotency_records() -> None:
    services.forget_old_idempotency_records()
