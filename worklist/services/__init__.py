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
from worklist.services.closures import (
    close_time,
    reserve_time,
    set_opening_hours,
    withdraw_closure,
    withdraw_reserved_time,
)
from worklist.services.completeness import note_images_committed, note_images_complete
from worklist.services.counting import recount_open_studies
from worklist.services.documenting import (
    change_adverse_event,
    change_exposure,
    correct_consumable,
    count_images,
    record_adverse_event,
    record_consumable,
    record_exposure,
    record_reject,
    withdraw_adverse_event,
    withdraw_consumable,
    withdraw_exposure,
    withdraw_reject,
    write_note,
)
from worklist.services.documents import keep_document
from worklist.services.exams import complete_exam, discontinue_exam, start_exam
from worklist.services.exception_orders import order_from_exception
from worklist.services.exceptions import link_exception, read_limited_study, resolve_exception
from worklist.services.further import (
    Beginning,
    Indexed,
    begin_further_instance,
    index_further_instance,
    recount_waiting,
)
from worklist.services.images import OtherContent, index_instance
from worklist.services.loading import load_worklist_item
from worklist.services.performed import StepIsFinal, start_performed_step, update_performed_step
from worklist.services.planned import PlannedStep, plan_steps
from worklist.services.products import save_product
from worklist.services.questionnaires import ensure_questionnaires, open_edition, publish_edition
from worklist.services.reconciliation import (
    link_performed_step,
    link_study,
    move_evidence,
    undo_reconciliation,
    unlink_performed_step,
    unlink_study,
)
from worklist.services.reconciliation_studies import merge_studies, split_study
from worklist.services.rejection import keep_rejection_note, reject_images, restore_images
from worklist.services.rejection_notes import obey_rejection_note
from worklist.services.reminders import set_contact_preference
from worklist.services.rendering import fill_in_patients, render_step
from worklist.services.rooms import ensure_station
from worklist.services.screening import allow_screening, override_screening, record_screening
from worklist.services.search import SearchResult, SlotSearch, find_slots
from worklist.services.series import (
    SeriesRefused,
    SeriesResult,
    book_chain,
    book_repeated,
    book_series,
    cancel_series,
    find_chain,
    repeat_procedure,
)
from worklist.services.shifts import change_shift, plan_shift, set_staff_profile, withdraw_shift
from worklist.services.slots import RoomClosed, SlotTaken, TimeReserved, next_free
from worklist.services.steps import ensure_step
from worklist.services.tickets import call_patient, close_display, open_display, print_ticket, renew_display
from worklist.services.time_out import record_time_out
from worklist.services.waiting import (
    accept_offer,
    add_to_waiting_list,
    change_waiting_entry,
    decline_offer,
    expire_offer,
    offer_slot,
    withdraw_waiting_entry,
)

__all__ = [
    "Beginning",
    "Indexed",
    "OtherContent",
    "PlannedStep",
    "RoomClosed",
    "SearchResult",
    "SeriesRefused",
    "SeriesResult",
    "SlotSearch",
    "SlotTaken",
    "StepIsFinal",
    "TimeReserved",
    "accept_offer",
    "add_to_waiting_list",
    "allow_screening",
    "arrive_patient",
    "begin_further_instance",
    "block_room",
    "book_appointment",
    "book_chain",
    "book_repeated",
    "book_series",
    "call_patient",
    "cancel_appointment",
    "cancel_series",
    "cancel_step",
    "change_adverse_event",
    "change_exposure",
    "change_shift",
    "change_waiting_entry",
    "close_display",
    "close_time",
    "complete_exam",
    "correct_consumable",
    "count_images",
    "decline_offer",
    "discontinue_exam",
    "ensure_questionnaires",
    "ensure_station",
    "ensure_step",
    "expire_offer",
    "fill_in_patients",
    "find_chain",
    "find_slots",
    "hold_slot",
    "index_further_instance",
    "index_instance",
    "keep_document",
    "keep_rejection_note",
    "link_exception",
    "link_performed_step",
    "link_study",
    "load_worklist_item",
    "mark_no_show",
    "merge_studies",
    "move_evidence",
    "next_free",
    "note_images_committed",
    "note_images_complete",
    "obey_rejection_note",
    "offer_slot",
    "open_display",
    "open_edition",
    "order_from_exception",
    "override_screening",
    "plan_shift",
    "plan_steps",
    "print_ticket",
    "publish_edition",
    "read_limited_study",
    "record_adverse_event",
    "record_consumable",
    "record_exposure",
    "record_reject",
    "record_screening",
    "record_time_out",
    "recount_open_studies",
    "recount_waiting",
    "reject_images",
    "release_hold",
    "render_step",
    "renew_display",
    "repeat_procedure",
    "reschedule_appointment",
    "reserve_time",
    "resolve_exception",
    "restore_images",
    "save_product",
    "set_contact_preference",
    "set_opening_hours",
    "set_staff_profile",
    "split_study",
    "start_exam",
    "start_performed_step",
    "unblock_room",
    "undo_arrival",
    "undo_reconciliation",
    "unlink_performed_step",
    "unlink_study",
    "update_performed_step",
    "withdraw_adverse_event",
    "withdraw_closure",
    "withdraw_consumable",
    "withdraw_exposure",
    "withdraw_reject",
    "withdraw_reserved_time",
    "withdraw_shift",
    "withdraw_waiting_entry",
    "write_note",
]
