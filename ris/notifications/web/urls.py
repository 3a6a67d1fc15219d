from django.urls import path

from ris.notifications.web import views

urlpatterns = [
    path("notifications/", views.notifications, name="notifications"),
    path("notifications/read/", views.read_all, name="notifications_read_all"),
    path("notifications/bell/", views.bell, name="notifications_bell"),
    path("notifications/<uuid:uuid>/", views.open_notification, name="notification_open"),
]
