from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class InteropConfig(AppConfig):
    name = "interop"
    verbose_name = _("Interfaces")

    def ready(self) -> None:
        from interop.dicom import commitments, outgoing_pages
        from interop.dicom import pages as dicom_pages
        from interop.imaging import panels as image_panels
        from interop.webhooks import pages as webhook_pages

        dicom_pages.register()
        outgoing_pages.register()
        commitments.register()
        image_panels.register()
        webhook_pages.register()
