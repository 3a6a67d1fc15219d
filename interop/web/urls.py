"""Pages of the interfaces."""

from __future__ import annotations

from django.urls import path

from interop.web import destinations, hl7_maps, messages, monitor

urlpatterns = [
    path("integrations/", monitor.integrations, name="integrations"),
    path("integrations/find/", monitor.find_message, name="integrations_find"),
    path("integrations/replay/", destinations.replay, name="integrations_replay"),
    path("integrations/destinations/new/", destinations.destination_edit, name="destination_new"),
    path("integrations/destinations/<uuid:uuid>/", destinations.destination_edit, name="destination_edit"),
    path(
        "integrations/destinations/<uuid:uuid>/<str:verb>/", destinations.destination_action, name="destination_action"
    ),
    path("integrations/hl7/codes/", hl7_maps.codes, name="hl7_codes"),
    path("integrations/hl7/codes/map/", hl7_maps.map_code, name="hl7_map_code"),
    path("integrations/hl7/codes/<uuid:uuid>/forget/", hl7_maps.forget_code, name="hl7_forget_code"),
    path("integrations/hl7/senders/", hl7_maps.sender_list, name="hl7_senders"),
    path("integrations/hl7/senders/new/", hl7_maps.sender_edit, name="hl7_sender_new"),
    path("integrations/hl7/senders/<uuid:uuid>/", hl7_maps.sender_edit, name="hl7_sender"),
    path("integrations/hl7/try/", hl7_maps.try_page, name="hl7_try"),
    path("integrations/messages/<uuid:uuid>/", messages.message_detail, name="message_detail"),
    path("integrations/messages/<uuid:uuid>/open/", messages.message_open, name="message_open"),
    path("integrations/messages/<uuid:uuid>/edit/", messages.message_edit, name="message_edit"),
    path("integrations/messages/<uuid:uuid>/<str:verb>/", messages.message_action, name="message_action"),
]
