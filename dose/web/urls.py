from django.urls import path

from dose.web import investigations, views

urlpatterns = [
    path("dose/", views.dose_dashboard, name="dose_dashboard"),
    path("dose/reports/<uuid:uuid>/", views.dose_report, name="dose_report"),
    path("dose/reports/<uuid:uuid>/link/", views.dose_report_link, name="dose_report_link"),
    path("dose/reports/<uuid:uuid>/unlink/", views.dose_report_unlink, name="dose_report_unlink"),
    path("dose/triggers/<uuid:uuid>/", views.dose_trigger_explain, name="dose_trigger_explain"),
    path("dose/investigations/", investigations.investigation_open, name="dose_investigation_open"),
    path("dose/investigations/<uuid:uuid>/", investigations.investigation_act, name="dose_investigation_act"),
    path(
        "dose/investigations/<uuid:uuid>/measure/",
        investigations.investigation_measure,
        name="dose_investigation_measure",
    ),
    path("dose/local-level/", investigations.local_level, name="dose_local_level"),
]
