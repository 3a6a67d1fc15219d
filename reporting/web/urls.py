"""Pages of reading, reporting, results, critical results and analytics."""

from __future__ import annotations

from django.urls import path

from reporting.web import analytics, critical, paper, reading, report, results

urlpatterns = [
    path("reading/", reading.reading_list, name="reading_list"),
    path("reading/rows/", reading.reading_rows, name="reading_rows"),
    path("reading/open/", reading.reading_open, name="reading_open"),
    path("reading/next/", reading.reading_next, name="reading_next"),
    path("reading/why/", reading.reading_why, name="reading_why"),
    path("reading/lists/", reading.reading_list_save, name="reading_list_save"),
    path("reading/lists/<uuid:uuid>/remove/", reading.reading_list_remove, name="reading_list_remove"),
    path("reading/exams/<uuid:uuid>/", report.reading_exam, name="reading_exam"),
    path("reading/macros/", report.macro_save, name="macro_save"),
    path("reports/<uuid:uuid>/", report.report_page, name="report_edit"),
    path("reports/<uuid:uuid>/", report.report_page, name="report_detail"),
    path("reports/<uuid:uuid>/save/", report.report_save, name="report_save"),
    path("reports/<uuid:uuid>/compare/", report.report_compare, name="report_compare"),
    path("reports/<uuid:uuid>/beat/", report.report_beat, name="report_beat"),
    path("reports/<uuid:uuid>/release/", report.report_release, name="report_release"),
    path("reports/<uuid:uuid>/take-over/", report.report_take_over, name="report_take_over"),
    path("reports/<uuid:uuid>/discard/", report.report_discard, name="report_discard"),
    path("reports/<uuid:uuid>/template/", report.report_template, name="report_template"),
    path("reports/<uuid:uuid>/sign/", report.report_sign, name="report_sign"),
    path("reports/<uuid:uuid>/addendum/", report.report_addendum, name="report_addendum"),
    path("reports/<uuid:uuid>/correct/", report.report_correct, name="report_correct"),
    path("reports/<uuid:uuid>/retract/", report.report_retract, name="report_retract"),
    path("reports/<uuid:uuid>/critical/", report.report_critical, name="report_critical"),
    path("reports/<uuid:uuid>/versions/", report.report_versions, name="report_versions"),
    path("reports/<uuid:uuid>/pdf/", paper.report_pdf, name="report_pdf"),
    path("reports/<uuid:uuid>/print/", paper.report_print, name="report_print"),
    path("reports/<uuid:uuid>/preview/", paper.report_preview, name="report_preview"),
    path("critical/", critical.critical_board, name="critical_board"),
    path("critical/compliance.csv", critical.critical_csv, name="critical_csv"),
    path("critical/<uuid:uuid>/", critical.critical_detail, name="critical_detail"),
    path("critical/<uuid:uuid>/contact/", critical.critical_contact, name="critical_contact"),
    path("critical/<uuid:uuid>/acknowledge/", critical.critical_acknowledge, name="critical_acknowledge"),
    path("critical/<uuid:uuid>/withdraw/", critical.critical_withdraw, name="critical_withdraw"),
    path("critical/<uuid:uuid>/escalate/", critical.critical_escalate, name="critical_escalate"),
    path("critical/<uuid:uuid>/close/", critical.critical_close, name="critical_close"),
    path("results/", results.result_inbox, name="result_inbox"),
    path("results/unopened/", results.results_unopened, name="results_unopened"),
    path("results/<uuid:uuid>/", results.result_detail, name="result_detail"),
    path("results/<uuid:uuid>/acknowledge/", results.result_acknowledge, name="result_acknowledge"),
    path("results/<uuid:uuid>/print/", results.result_print, name="result_print"),
    path("deliveries/<uuid:uuid>/again/", results.delivery_again, name="delivery_again"),
    path("deliveries/<uuid:uuid>/told/", results.delivery_told, name="delivery_told"),
    path("analytics/", analytics.analytics, name="analytics"),
]
