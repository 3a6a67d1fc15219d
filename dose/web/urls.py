from django.urls import path

from dose.web import views

urlpatterns = [
    path("dose/", views.dose_dashboard, name="dose_dashboard"),
    path("dose/reports/<uuid:uuid>/", views.dose_report, name="dose_report"),
    path("dose/reports/<uuid:uuid>/link/", views.dose_report_link, name="dose_report_link"),
    path("dose/reports/<uuid:uuid>/unlink/", views.dose_report_unlink, name="dose_report_unlink"),
    path("dose/triggers/<uuid:uuid>/", views.dose_trigger_explain, name="dose_trigger_explain"),
]
