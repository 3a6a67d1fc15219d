from django.urls import path

from peerreview.web import views

urlpatterns = [
    path("peer-review/", views.review_list, name="review_list"),
    path("peer-review/cases/<uuid:uuid>/", views.review_case, name="review_case"),
    path("peer-review/rounds/new/", views.round_create, name="review_round_create"),
    path("peer-review/rounds/<uuid:uuid>/", views.review_round, name="review_round"),
    path("peer-review/rounds/<uuid:uuid>/launch/", views.round_launch, name="review_round_launch"),
    path("peer-review/rounds/<uuid:uuid>/close/", views.round_close, name="review_round_close"),
]
