"""The rights of reading, reporting, critical results, delivery and analytics."""

from django.utils.translation import gettext_noop as _

from ris.core.permissions import (
    CLERK,
    CLINICAL,
    DEPARTMENT,
    IT_ADMIN,
    QA_LEAD,
    RADIOLOGIST,
    READERS,
    REFERRER,
    TECHNOLOGIST,
    declare,
)

VIEW_READING_LIST = declare("reporting.view_reading_list", _("See the reading list"), *READERS)
CLAIM_PROCEDURE = declare("reporting.claim_procedure", _("Open exams for reading"), *READERS)
TAKE_OVER = declare("reporting.take_over", _("Take an exam over from another reader"), RADIOLOGIST)
ASSIGN_READING = declare("reporting.assign_reading", _("Assign exams to readers and groups"), RADIOLOGIST)
SEND_BACK = declare("reporting.send_back", _("Send exams back to the technologist"), *READERS)
SHARE_LIST = declare("reporting.share_list", _("Share saved lists with others"), RADIOLOGIST)
MANAGE_READING = declare(
    "reporting.manage_reading", _("Manage report times, reading groups and readers"), IT_ADMIN, clinical=False
)
VIEW_REPORT = declare("reporting.view_report", _("See reports"), *CLINICAL, QA_LEAD, REFERRER)
WRITE_REPORT = declare("reporting.write_report", _("Write reports"), *READERS)
RECORD_OUTSIDE_REPORT = declare(
    "reporting.record_outside_report", _("Keep reports from elsewhere"), *READERS, CLERK, TECHNOLOGIST
)
SIGN_PRELIMINARY = declare("reporting.sign_preliminary", _("Sign preliminary reports"), *READERS)
SIGN_REPORT = declare("reporting.sign_report", _("Sign final reports, addenda and corrections"), RADIOLOGIST)
SHARE_SEARCH = declare("reporting.share_search", _("Share searches of reports with others"), RADIOLOGIST, QA_LEAD)
PRINT_REPORT = declare("reporting.print_report", _("Print reports"), *CLINICAL, REFERRER)
MANAGE_CHECKS = declare(
    "reporting.manage_checks", _("Say what stops a signature"), RADIOLOGIST, IT_ADMIN, clinical=False
)
MANAGE_TEMPLATES = declare("reporting.manage_templates", _("Manage report templates"), RADIOLOGIST)
VIEW_TEMPLATE = declare("reporting.view_template", _("See report templates"), *READERS, IT_ADMIN, clinical=False)

VIEW_CRITICAL = declare("reporting.view_critical", _("See critical results"), *CLINICAL, QA_LEAD, REFERRER)
RAISE_CRITICAL = declare("reporting.raise_critical", _("Raise and withdraw critical results"), *READERS)
COMMUNICATE_CRITICAL = declare(
    "reporting.communicate_critical", _("Log contacts about critical results"), *READERS, CLERK
)
ACKNOWLEDGE_CRITICAL = declare(
    "reporting.acknowledge_critical", _("Acknowledge critical results"), REFERRER, RADIOLOGIST
)
ANSWER_LINK = declare(
    "reporting.answer_critical_link", _("Acknowledge critical results by a link sent to oneself"), *DEPARTMENT, REFERRER
)
MANAGE_CRITICAL = declare(
    "reporting.manage_critical", _("Manage categories and chains of critical results"), RADIOLOGIST, QA_LEAD
)
MANAGE_DISPLAYS = declare(
    "reporting.manage_displays", _("Set up displays of the board"), RADIOLOGIST, QA_LEAD, IT_ADMIN, clinical=False
)

VIEW_RESULT = declare("reporting.view_result", _("See the results inbox"), REFERRER, CLERK, *READERS)
ACKNOWLEDGE_RESULT = declare("reporting.acknowledge_result", _("Acknowledge results"), REFERRER)
MANAGE_DELIVERY = declare("reporting.manage_delivery", _("Send results again"), CLERK, RADIOLOGIST)
MANAGE_DELIVERY_RULES = declare("reporting.manage_delivery_rules", _("Manage delivery rules"), IT_ADMIN, clinical=False)
MANAGE_VIEWERS = declare("reporting.manage_viewers", _("Manage links to other viewers"), IT_ADMIN, clinical=False)
VIEW_FOLLOW_UP = declare("reporting.view_follow_up", _("See recommended exams"), *CLINICAL, QA_LEAD, REFERRER)
RECOMMEND = declare("reporting.recommend", _("Recommend exams, and take that back"), *READERS)
CLOSE_FOLLOW_UP = declare(
    "reporting.close_follow_up", _("Note what became of a recommended exam"), *READERS, CLERK, REFERRER
)
SHARE_REPORT = declare(
    "reporting.share_report", _("Give patients a link to their report, and end it"), CLERK, RADIOLOGIST, REFERRER
)
VIEW_TEACHING = declare("reporting.view_teaching", _("See teaching cases"), *READERS, TECHNOLOGIST, QA_LEAD)
KEEP_TEACHING = declare("reporting.keep_teaching", _("Keep teaching cases of one's own"), *READERS, QA_LEAD)
SHARE_TEACHING = declare("reporting.share_teaching", _("Share teaching cases with the department"), RADIOLOGIST)
VIEW_ANALYTICS = declare("reporting.view_analytics", _("See analytics"), RADIOLOGIST, QA_LEAD, IT_ADMIN, clinical=False)
