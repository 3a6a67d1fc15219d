from celery import shared_task

from interop.webhooks import services


@shared_task(ignore_result=True)
def forget_old_webhook_deliveries() -> None:
    services.forget_old_deliveries()
