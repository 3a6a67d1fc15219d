"""Pages of critical results."""

from __future__ import annotations

from django.urls import path

from reporting.web import critical, critical_answer, critical_raise, critical_wall

urlpatterns = [
    path("critical/", critical.critical_board, name="critical_board"),
    path("critical/compliance/", critical.critical_compliance, name="critical_compliance"),
    path("critical/compliance.csv", critical.critical_csv, name="critical_csv"),
    path("critical/answer/<str:token>/", critical_answer.critical_answer, name="critical_answer"),
    path("critical/wall/", critical_wall.critical_wall, name="critical_wall"),
    path("sign-in/display/", critical_wall.critical_pair, name="critical_pair"),
    path("critical/displays/", critical_wall.critical_displays, name="critical_displays"),
    path("critical/displays/<uuid:uuid>/revoke/", critical_wall.critical_display_revoke, name="critical_revoke"),
    path("critical/raise/<uuid:uuid>/", critical_raise.critical_raise, name="critical_raise"),
    path("critical/<uuid:uuid>/", critical.critical_detail, name="critical_detail"),
    path("critical/<uuid:uuid>/contact/", critical.critical_contact, name="critical_contact"),
    path("critical/<uuid:uuid>/acknowledge/", critical.critical_acknowledge, name="critical_acknowledge"),
    path("critical/<uuid:uuid>/withdraw/", critical.critical_withdraw, name="critical_withdraw"),
    path("critical/<uuid:uuid>/reopen/", critical.critical_reopen, name="critical_reopen"),
    path("critical/<uuid:uuid>/escalate/", critical.critical_escalate, name="critical_escalate"),
    path("critical/<uuid:uuid>/close/", critical.critical_close, name="critical_close"),
    path("critical/<uuid:uuid>/addendum/", critical.critical_addendum, name="critical_addendum"),
]
