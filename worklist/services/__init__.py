"""What happens to schedule, steps, exams and images."""

from worklist.services.arrival import arrive_patient, mark_no_show, undo_arrival
from worklist.services.booking import (
    block_room,
    book_appointment,
    cancel_appointment,
    cancel_step,
    hold_slot,
    release_hold,
    reschedule_appointment,
    unblock_room,
)
from worklist.services.completeness import note_images_complete
from worklist.services.exams import (
    complete_exam,
    discontinue_exam,
    record_consumable,
    record_reject,
    record_time_out,
    start_exam,
    withdraw_consumable,
    write_note,
)
from worklist.services.exceptions import (
    link_exception,
    link_performed_step,
    link_study,
    resolve_exception,
    unlink_performed_step,
    unlink_study,
)
from worklist.services.images import OtherContent, index_instance
from worklist.services.loading import load_worklist_item
from worklist.services.performed import StepIsFinal, start_performed_step, update_performed_step
from worklist.services.questionnaires import ensure_questionnaires
from worklist.services.reminders import set_contact_preference
from worklist.services.rendering import render_step
from worklist.services.rooms import ensure_station
from worklist.services.screening import override_screening, record_screening
from worklist.services.slots import RoomClosed, SlotTaken, next_free
from worklist.services.steps import ensure_step
from worklist.services.tickets import call_patient, close_display, open_display, print_ticket, renew_display

__all__ = [
    "OtherContent",
    "RoomClosed",
    "SlotTaken",
    "StepIsFinal",
    "arrive_patient",
    "block_room",
    "book_appointment",
    "call_patient",
    "cancel_appointment",
    "cancel_step",
    "close_display",
    "complete_exam",
    "discontinue_exam",
    "ensure_questionnaires",
    "ensure_station",
    "ensure_step",
    "hold_slot",
    "index_instance",
    "link_exception",
    "link_performed_step",
    "link_study",
    "load_worklist_item",
    "mark_no_show",
    "next_free",
    "note_images_complete",
    "open_display",
    "override_screening",
    "print_ticket",
    "record_consumable",
    "record_reject",
    "record_screening",
    "record_time_out",
    "release_hold",
    "render_step",
    "renew_display",
    "reschedule_appointment",
    "resolve_exception",
    "set_contact_preference",
    "start_exam",
    "start_performed_step",
    "unblock_room",
    "undo_arrival",
    "unlink_performed_step",
    "unlink_study",
    "update_performed_step",
    "withdraw_consumable",
    "write_note",
]
