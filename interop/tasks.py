from celery import shared_task

from interop.fhir.subscriptions import queue
from interop.webhooks import services


@shared_task(ignore_result=True)
def forget_old_webhook_deliveries() -> None:
    services.forget_old_deliveries()


@shared_task(ignore_result=True)
def forget_old_fhir_notifications() -> None:
    queue.forget_old_notifications()
