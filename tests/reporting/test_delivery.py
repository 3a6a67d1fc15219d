"""The ledger: who gets which version, what becomes of it, and when the result counts as distributed."""

from __future__ import annotations

from typing import Any

import pytest

from orders.models import RequestedProcedure
from reporting import selectors, services
from reporting.models import DeliveryRule, ReportDelivery
from ris.audit.models import AuditEvent
from ris.core.actor import Actor
from ris.core.errors import InvalidTransition, NotPermitted
from ris.events.models import OutboxEvent
from ris.notifications.models import Notification
from ris.notifications.services import unread_count
from tests.factories.reporting import SECTIONS, drafted, make_procedure, make_referrer, signed

pytestmark = pytest.mark.django_db
HL7 = Actor("hl7", ae_title="HIS")


def status_of(procedure: RequestedProcedure) -> str:
    return RequestedProcedure.objects.get(pk=procedure.pk).status


def asked(people: Any, **fields: Any) -> RequestedProcedure:
    return make_procedure(requester=people.referrer.practitioner, **fields)


def test_a_signature_plans_the_requesters_inbox_and_the_rules(people: Any) -> None:
    DeliveryRule.objects.create(channel="hl7", destination="HIS")
    procedure = asked(people)
    copied = make_referrer()
    procedure.order.copies_to.add(copied.practitioner)
    signed(procedure, actor=people.radiologist)
    lines = {(row.channel, row.destination, row.recipient): row for row in ReportDelivery.objects.all()}
    inbox = lines["inbox", "", people.referrer.practitioner]
    assert (inbox.status, inbox.is_mandatory) == ("sent", True)
    assert not lines["inbox", "", copied.practitioner].is_mandatory
    assert (lines["hl7", "HIS", None].status, lines["hl7", "HIS", None].is_mandatory) == ("pending", True)
    planned = OutboxEvent.objects.filter(name="reporting.delivery_planned")
    assert planned.count() == 3
    assert not any("OTIENO" in str(row.payload) for row in planned)
    assert Notification.objects.get(recipient=people.referrer.actor.user).template == "reporting.report_ready"


def test_a_preliminary_goes_only_where_a_rule_says_so(people: Any) -> None:
    DeliveryRule.objects.create(channel="hl7", destination="HIS", includes_preliminary=True)
    DeliveryRule.objects.create(channel="hl7", destination="ARCHIVE")
    services.sign_preliminary(drafted(asked(people), actor=people.resident), actor=people.resident)
    line = ReportDelivery.objects.get()
    assert (line.destination, line.is_mandatory) == ("HIS", False)


def test_a_rule_for_one_requester_is_for_them_alone(people: Any) -> None:
    DeliveryRule.objects.create(channel="hl7", destination="HIS", requester=make_referrer().practitioner)
    signed(asked(people), actor=people.radiologist)
    assert list(ReportDelivery.objects.values_list("channel", flat=True)) == ["inbox"]


def test_a_requester_without_sign_in_need_not_acknowledge(people: Any) -> None:
    stranger = make_referrer(signs_in=False)
    DeliveryRule.objects.create(channel="hl7", destination="HIS")
    procedure = make_procedure(requester=stranger.practitioner)
    signed(procedure, actor=people.radiologist)
    assert not ReportDelivery.objects.get(channel="inbox").is_mandatory
    services.mark_delivery_acknowledged(ReportDelivery.objects.get(channel="hl7"), actor=HL7)
    assert status_of(procedure) == "distributed"


def test_nothing_acknowledged_is_not_distributed(people: Any) -> None:
    procedure = make_procedure()
    signed(procedure, actor=people.radiologist)
    assert (ReportDelivery.objects.count(), status_of(procedure)) == (0, "final")


def test_it_is_distributed_when_the_last_mandatory_one_is_acknowledged(people: Any) -> None:
    DeliveryRule.objects.create(channel="hl7", destination="HIS")
    procedure = asked(people)
    signed(procedure, actor=people.radiologist)
    hl7, inbox = ReportDelivery.objects.get(channel="hl7"), ReportDelivery.objects.get(channel="inbox")
    services.mark_delivery_sent(hl7, actor=HL7)
    services.mark_delivery_acknowledged(hl7, actor=HL7)
    assert status_of(procedure) == "final"
    services.open_result(inbox, actor=people.referrer.actor)
    assert ReportDelivery.objects.get(pk=inbox.pk).status == "opened"
    services.acknowledge_result(ReportDelivery.objects.get(pk=inbox.pk), actor=people.referrer.actor)
    assert status_of(procedure) == "distributed"
    services.mark_delivery_acknowledged(hl7, actor=HL7)
    row = ReportDelivery.objects.get(pk=inbox.pk)
    assert (row.acknowledged_by, row.history.first().history_user) == (people.referrer.actor.user,) * 2
    assert AuditEvent.objects.filter(event_type="reporting.acknowledge_result", entity=row.uuid).count() == 1
    assert OutboxEvent.objects.filter(name="reporting.delivery_acknowledged").count() == 2


def test_nobody_acknowledges_in_anothers_name(people: Any) -> None:
    signed(asked(people), actor=people.radiologist)
    line = ReportDelivery.objects.get()
    for actor in (make_referrer().actor, people.radiologist):
        with pytest.raises(NotPermitted):
            services.acknowledge_result(line, actor=actor)


def test_a_result_that_was_opened_rings_the_bell_no_more(people: Any) -> None:
    signed(asked(people), actor=people.radiologist)
    reader = people.referrer.actor
    assert unread_count(reader.user) == 1
    services.open_result(ReportDelivery.objects.get(), actor=people.radiologist)
    assert unread_count(reader.user) == 1
    services.open_result(ReportDelivery.objects.get(), actor=reader)
    assert unread_count(reader.user) == 0


def test_the_newest_version_rings_alone_and_is_quiet_once_acknowledged(people: Any) -> None:
    report = signed(asked(people), actor=people.radiologist)
    services.add_addendum(report, text="Compared with outside images.", actor=people.radiologist)
    assert unread_count(people.referrer.actor.user) == 1
    newest = ReportDelivery.objects.order_by("-report_version__number").first()
    services.acknowledge_result(newest, actor=people.referrer.actor)
    assert unread_count(people.referrer.actor.user) == 0


def test_looking_at_it_as_somebody_else_opens_nothing(people: Any) -> None:
    signed(asked(people), actor=people.radiologist)
    services.open_result(ReportDelivery.objects.get(), actor=people.radiologist)
    assert ReportDelivery.objects.get().status == "sent"


def test_a_correction_supersedes_and_tells_whoever_saw_the_first(people: Any) -> None:
    DeliveryRule.objects.create(channel="hl7", destination="HIS")
    procedure = asked(people)
    report = signed(procedure, actor=people.radiologist)
    services.mark_delivery_acknowledged(ReportDelivery.objects.get(channel="hl7"), actor=HL7)
    first = ReportDelivery.objects.get(channel="inbox")
    services.open_result(first, actor=people.referrer.actor)
    DeliveryRule.objects.all().update(is_active=False)
    services.correct_report(report, sections={"impression": "21 mm."}, reason="Size", actor=people.radiologist)
    assert ReportDelivery.objects.get(pk=first.pk).status == "superseded"
    assert sorted(ReportDelivery.objects.filter(report_version__number=2).values_list("channel", "status")) == [
        ("hl7", "pending"),
        ("inbox", "sent"),
    ]
    told = Notification.objects.filter(recipient=people.referrer.actor.user)
    assert sorted(told.values_list("template", flat=True)) == ["reporting.report_changed", "reporting.report_ready"]
    with pytest.raises(InvalidTransition):
        services.acknowledge_result(ReportDelivery.objects.get(pk=first.pk), actor=people.referrer.actor)
    assert status_of(procedure) == "amended"
    for line in ReportDelivery.objects.filter(report_version__number=2):
        services.mark_delivery_acknowledged(line, actor=HL7)
    assert status_of(procedure) == "distributed"


def test_a_late_acknowledgement_of_a_superseded_version_changes_nothing(people: Any) -> None:
    DeliveryRule.objects.create(channel="hl7", destination="HIS")
    procedure = asked(people)
    report = signed(procedure, actor=people.radiologist)
    line = ReportDelivery.objects.get(channel="hl7")
    services.mark_delivery_sent(line, actor=HL7)
    services.add_addendum(report, text="More.", actor=people.radiologist)
    services.mark_delivery_acknowledged(line, actor=HL7)
    assert (ReportDelivery.objects.get(pk=line.pk).status, status_of(procedure)) == ("superseded", "amended")


def test_what_failed_is_sent_again(people: Any) -> None:
    DeliveryRule.objects.create(channel="hl7", destination="HIS")
    signed(make_procedure(), actor=people.radiologist)
    line = ReportDelivery.objects.get()
    services.mark_delivery_failed(line, error="AR: 207", actor=HL7)
    assert ReportDelivery.objects.get().last_error == "AR: 207"
    services.send_delivery_again(line, actor=people.clerk)
    assert (ReportDelivery.objects.get().status, ReportDelivery.objects.get().last_error) == ("pending", "")
    assert OutboxEvent.objects.filter(name="reporting.delivery_planned").count() == 2
    services.mark_delivery_acknowledged(line, actor=HL7)
    with pytest.raises(InvalidTransition):
        services.send_delivery_again(line, actor=people.clerk)


def test_a_referrer_sees_signed_reports_of_own_patients_only(people: Any) -> None:
    actor = people.referrer.actor
    mine = signed(asked(people), actor=people.radiologist)
    drafted(asked(people), actor=people.radiologist)
    signed(make_procedure(requester=make_referrer().practitioner), actor=people.other)
    assert list(selectors.reports(actor=actor)) == [mine]
    assert [row.report_id for row in selectors.inbox(actor=actor)] == [mine.pk]
    assert selectors.inbox_counts(actor=actor) == {"unread": 1, "changed": 0, "critical": 0, "delegated": 0, "read": 0}


def test_what_nobody_opened_for_two_days_is_on_the_departments_list(people: Any) -> None:
    from datetime import timedelta

    from django.utils import timezone

    from reporting.models import ReportVersion

    signed(asked(people), actor=people.radiologist)
    assert list(selectors.unopened_results(actor=people.clerk)) == []
    line = ReportDelivery.objects.get()
    old = timezone.now() - timedelta(days=3)
    version = ReportVersion.objects.get()
    copy = ReportVersion(
        report=version.report, number=2, kind="addendum", status="appended", sections=SECTIONS, identity={},
        signed_by=version.signed_by, signer_name="x", signed_at=old, content_hash="x",
    )  # fmt: skip
    copy.save()
    line.report_version = copy
    line.save()
    assert list(selectors.unopened_results(actor=people.clerk)) == [line]
