from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class WorklistConfig(AppConfig):
    name = "worklist"
    verbose_name = _("Schedule and exams")

    def ready(self) -> None:
        import worklist.downtime  # lists, images and replay of a downtime register themselves
        import worklist.panels  # noqa: F401  menu entries and panels register themselves
