"""Pages of the interfaces."""

from __future__ import annotations

from django.urls import path

from interop.web import views

urlpatterns = [
    path("integrations/", views.integrations, name="integrations"),
    path("integrations/find/", views.find_message, name="integrations_find"),
    path("integrations/destinations/<uuid:uuid>/<str:verb>/", views.destination_action, name="destination_action"),
    path("integrations/messages/<uuid:uuid>/", views.message_detail, name="message_detail"),
    path("integrations/messages/<uuid:uuid>/open/", views.message_open, name="message_open"),
    path("integrations/messages/<uuid:uuid>/<str:verb>/", views.message_action, name="message_action"),
]
