from django.urls import path

from ris.notifications.web import rota, views

urlpatterns = [
    path("notifications/", views.notifications, name="notifications"),
    path("notifications/read/", views.read_all, name="notifications_read_all"),
    path("notifications/bell/", views.bell, name="notifications_bell"),
    path("notifications/<uuid:uuid>/", views.open_notification, name="notification_open"),
    path("rota/", rota.rota_page, name="rota"),
    path("rota/add/", rota.rota_add, name="rota_add"),
    path("rota/<uuid:uuid>/substitute/", rota.rota_substitute, name="rota_substitute"),
    path("rota/<uuid:uuid>/cancel/", rota.rota_cancel, name="rota_cancel"),
]
