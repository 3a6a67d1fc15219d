"""The rights of schedule, console, steps, images and exceptions."""

from django.utils.translation import gettext_noop as _

from orders import permissions as orders
from ris.accounts import permissions as accounts
from ris.core.permissions import (
    CLERK,
    CLINICAL,
    DEPARTMENT,
    IT_ADMIN,
    RADIOLOGIST,
    REFERRER,
    TECHNOLOGIST,
    declare,
    declare_scope,
)

VIEW_SCHEDULE = declare("worklist.view_schedule", _("See the schedule"), *DEPARTMENT)
BOOK_APPOINTMENT = declare("worklist.book_appointment", _("Book, move and cancel appointments"), CLERK, TECHNOLOGIST)
OVERBOOK = declare("worklist.overbook", _("Book over another appointment"), RADIOLOGIST)
BLOCK_ROOM = declare("worklist.block_room", _("Block time in a room"), CLERK, TECHNOLOGIST)
CLOSE_ROOM = declare(
    "worklist.close_room",
    _("Close rooms and keep time for emergencies"),
    CLERK,
    TECHNOLOGIST,
    IT_ADMIN,
    clinical=False,
)
PLAN_STAFF = declare("worklist.plan_staff", _("Plan shifts and skills"), CLERK, TECHNOLOGIST, IT_ADMIN, clinical=False)
MANAGE_ROOMS = declare(
    "worklist.manage_rooms", _("Manage rooms, stations and questionnaires"), IT_ADMIN, clinical=False
)
MANAGE_PRODUCTS = declare(
    "worklist.manage_products",
    _("Keep the list of contrast media, medicines and supplies"),
    TECHNOLOGIST,
    IT_ADMIN,
    clinical=False,
)
VIEW_ROOM = declare("worklist.view_room", _("See rooms and stations"), *DEPARTMENT, IT_ADMIN, clinical=False)

VIEW_STEP = declare("worklist.view_step", _("See scheduled and performed steps"), *DEPARTMENT)
ARRIVE_PATIENT = declare("worklist.arrive_patient", _("Note arrivals and no-shows"), CLERK, TECHNOLOGIST)
CALL_PATIENT = declare(
    "worklist.call_patient", _("Call patients from the waiting room"), CLERK, TECHNOLOGIST, RADIOLOGIST
)
PERFORM_STEP = declare("worklist.perform_step", _("Start, complete and discontinue exams"), TECHNOLOGIST)
SCREEN_PATIENT = declare("worklist.screen_patient", _("Answer safety questions"), CLERK, TECHNOLOGIST, RADIOLOGIST)
OVERRIDE_SCREENING = declare("worklist.override_screening", _("Override a safety block"), RADIOLOGIST)
LOAD_WORKLIST = declare("worklist.load_worklist", _("Load worklist items from outside"), CLERK, TECHNOLOGIST)

VIEW_STUDY = declare("worklist.view_study", _("See images"), *CLINICAL, "qa_lead", "medical_physicist", REFERRER)
STORE_STUDY = declare("worklist.store_study", _("Store images"), TECHNOLOGIST, RADIOLOGIST)
REJECT_IMAGES = declare("worklist.reject_images", _("Reject images, and restore them"), TECHNOLOGIST, RADIOLOGIST)
RESOLVE_EXCEPTION = declare(
    "worklist.resolve_exception", _("Resolve exceptions and link images"), TECHNOLOGIST, RADIOLOGIST
)

#: The roles of Pylantir as scopes of API keys: what they reach of the worklist, and for admin of users.
_READ = (VIEW_STEP, orders.VIEW_PATIENT, orders.VIEW_ORDER)
_WRITE = (
    *_READ, LOAD_WORKLIST, BOOK_APPOINTMENT, ARRIVE_PATIENT, PERFORM_STEP, orders.REGISTER_PATIENT,
    orders.UPDATE_PATIENT, orders.CREATE_ORDER,
)  # fmt: skip
_USERS = (
    accounts.VIEW_USER, accounts.CREATE_USER, accounts.CHANGE_USER, accounts.SET_ROLES, accounts.DEACTIVATE_USER,
    accounts.SET_PASSWORD,
)  # fmt: skip
declare_scope("read", *_READ)
declare_scope("write", *_WRITE)
declare_scope("admin", *_WRITE, *_USERS)
