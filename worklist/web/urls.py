"""Pages of schedule, console and exceptions."""

from django.urls import path

from worklist.web import console, exceptions, schedule

urlpatterns = [
    path("schedule/", schedule.schedule_day, name="schedule_day"),
    path("schedule/book/<uuid:uuid>/", schedule.schedule_book, name="schedule_book"),
    path("schedule/block/", schedule.schedule_block, name="schedule_block"),
    path("schedule/sheet/", schedule.schedule_sheet, name="schedule_sheet"),
    path("schedule/exams/<uuid:uuid>/<slug:verb>/", schedule.procedure_move, name="procedure_move"),
    path("schedule/appointments/<uuid:uuid>/", schedule.appointment_detail, name="appointment_detail"),
    path("schedule/appointments/<uuid:uuid>/move/", schedule.appointment_move, name="appointment_move"),
    path("schedule/appointments/<uuid:uuid>/cancel/", schedule.appointment_cancel, name="appointment_cancel"),
    path("schedule/appointments/<uuid:uuid>/release/", schedule.schedule_release, name="appointment_release"),
    path("console/", console.console, name="console"),
    path("console/rows/", console.console_rows, name="console_rows"),
    path("console/<uuid:uuid>/", console.console_exam, name="console_exam"),
    path("console/<uuid:uuid>/time-out/", console.console_time_out, name="console_time_out"),
    path("console/<uuid:uuid>/questions/<uuid:questionnaire>/", console.console_screen, name="console_screen"),
    path("console/<uuid:uuid>/override/<uuid:screening>/", console.console_override, name="console_override"),
    path("console/<uuid:uuid>/start/", console.console_start, name="console_start"),
    path("console/<uuid:uuid>/note/", console.console_note, name="console_note"),
    path("console/<uuid:uuid>/used/", console.console_consumable, name="console_consumable"),
    path("console/<uuid:uuid>/used/<uuid:use>/withdraw/", console.console_withdraw, name="console_withdraw"),
    path("console/<uuid:uuid>/rejects/", console.console_reject, name="console_reject"),
    path("console/<uuid:uuid>/complete/", console.console_complete, name="console_complete"),
    path("console/<uuid:uuid>/stop/", console.console_stop, name="console_stop"),
    path("exceptions/", exceptions.exception_list, name="exception_list"),
    path("exceptions/<uuid:uuid>/", exceptions.exception_detail, name="exception_detail"),
    path("exceptions/<uuid:uuid>/link/", exceptions.exception_link, name="exception_link"),
    path("exceptions/<uuid:uuid>/resolve/", exceptions.exception_resolve, name="exception_resolve"),
]
