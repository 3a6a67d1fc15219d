from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class InteropConfig(AppConfig):
    name = "interop"
    verbose_name = _("Interfaces")

    def ready(self) -> None:
        from interop.dicom import commitments, outgoing_pages
        from interop.dicom import pages as dicom_pages
        from interop.fhir import pages as fhir_pages
        from interop.imaging import panels as image_panels
        from interop.sources import cards as source_cards
        from interop.sources import pages as source_pages
        from interop.sources.scheduling import run_sources
        from interop.webhooks import pages as webhook_pages
        from ris.events.dispatcher import register_companion

        dicom_pages.register()
        outgoing_pages.register()
        commitments.register()
        image_panels.register()
        webhook_pages.register()
        fhir_pages.register()
        source_cards.register()
        source_pages.register()
        register_companion("interop.sources", run_sources)
