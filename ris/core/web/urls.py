"""The frame's own pages."""

from __future__ import annotations

from django.urls import path

from ris.core.web import views

urlpatterns = [
    path("", views.home, name="home"),
    path("theme/", views.set_theme, name="set_theme"),
    path("language/", views.set_language, name="set_language"),
    path("shortcuts/", views.shortcuts, name="shortcuts"),
    path("ping/", views.ping, name="ping"),
    path("menu/", views.menu, name="menu"),
    path("styleguide/", views.styleguide, name="styleguide"),
]
