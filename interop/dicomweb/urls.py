"""Addresses of /dicomweb/, without slashes at their ends, as PS3.18 writes them."""

from __future__ import annotations

from django.urls import path

from interop.dicomweb import views, wado_uri

STUDY = "studies/<str:study>"
SERIES = f"{STUDY}/series/<str:series>"
INSTANCE = f"{SERIES}/instances/<str:instance>"
FRAMES = f"{INSTANCE}/frames/<str:frames>"

urlpatterns = [
    path("capabilities", views.CapabilitiesView.as_view(), name="dicomweb"),
    path("wado", wado_uri.WadoUriView.as_view()),
    path("studies", views.StudiesView.as_view()),
    path("series", views.SeriesSearchView.as_view()),
    path("instances", views.InstanceSearchView.as_view()),
    path(STUDY, views.StudyView.as_view()),
    path(f"{STUDY}/series", views.SeriesSearchView.as_view()),
    path(f"{STUDY}/instances", views.InstanceSearchView.as_view()),
    path(SERIES, views.InstancesView.as_view()),
    path(f"{SERIES}/instances", views.InstanceSearchView.as_view()),
    path(INSTANCE, views.InstancesView.as_view()),
    *(path(f"{level}/metadata", views.MetadataView.as_view()) for level in (STUDY, SERIES, INSTANCE)),
    *(path(f"{level}/rendered", views.PictureView.as_view()) for level in (STUDY, SERIES, INSTANCE, FRAMES)),
    *(path(f"{level}/thumbnail", views.ThumbnailView.as_view()) for level in (STUDY, SERIES, INSTANCE, FRAMES)),
    path(FRAMES, views.FramesView.as_view()),
    path(f"{INSTANCE}/bulkdata/<path:path>", views.BulkDataView.as_view()),
]
