from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "ris.core"
    label = "core"
