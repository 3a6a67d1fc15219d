from django.urls import path

from peerreview.web import rounds, scorecards, views

urlpatterns = [
    path("peer-review/", views.review_list, name="review_list"),
    path("peer-review/cases/<uuid:uuid>/", views.review_case, name="review_case"),
    path("peer-review/cases/<uuid:uuid>/reassign/", rounds.case_reassign, name="review_case_reassign"),
    path("peer-review/discrepancies/<uuid:uuid>/", views.review_discrepancy, name="review_discrepancy"),
    path("peer-review/discrepancies/<uuid:uuid>/addendum/", views.discrepancy_addend, name="review_addend"),
    path("peer-review/discrepancies/<uuid:uuid>/decline/", views.discrepancy_decline, name="review_decline"),
    path("peer-review/discrepancies/<uuid:uuid>/resolve/", views.discrepancy_resolve, name="review_resolve"),
    path("peer-review/reports/<uuid:uuid>/score/", views.report_score, name="review_ad_hoc"),
    path("peer-review/scorecards/", scorecards.review_scorecards, name="review_scorecards"),
    path("peer-review/scorecards/export/", scorecards.scorecards_export, name="review_scorecards_export"),
    path("peer-review/rounds/new/", rounds.round_create, name="review_round_create"),
    path("peer-review/rounds/<uuid:uuid>/", rounds.review_round, name="review_round"),
    path("peer-review/rounds/<uuid:uuid>/launch/", rounds.round_launch, name="review_round_launch"),
    path("peer-review/rounds/<uuid:uuid>/close/", rounds.round_close, name="review_round_close"),
]
