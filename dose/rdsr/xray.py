"""X-ray: CT (TID 10011 to 10014), projection, fluoroscopy and mammography (TID 10001 to 10007), and the enhanced
report (TID 10040 to 10043), whose events are summaries with their details elsewhere in the tree."""

from __future__ import annotations

from dose import units
from dose.rdsr import codes
from dose.rdsr.content import DEEPEST, Content, measure
from dose.rdsr.parsed import CT, FLUOROSCOPY, PROJECTION, UNKNOWN, DoseEvent, ParsedDose

MOST_ITEMS, MOST_MORE = 100_000, 60
FILTER_KEYS = {codes.FILTER_LEAST: "least_mm", codes.FILTER_MOST: "most_mm", codes.FILTER_ALUMINIUM: "aluminium_mm"}


def read_xray(root: Content, parsed: ParsedDose) -> None:
    reported = root.first(codes.PROCEDURE_REPORTED)
    if reported is not None:
        value, scheme, parsed.procedure_name = reported.code
        parsed.kind = codes.PROCEDURES.get((value, scheme), UNKNOWN)
    totals: list[Content] = []
    details: list[Content] = []
    for count, content in enumerate(root.walk(without=codes.EVENTS | codes.TOTALS | {codes.IRRADIATION_DETAILS})):
        if count > MOST_ITEMS:
            parsed.warn("The report holds too many items; the rest was not read.")
            break
        concept = content.concept
        if concept in codes.EVENTS:
            parsed.events.append(_event(content, parsed))
            if concept != codes.SUMMARY_EVENT:
                parsed.kind = parsed.kind or (CT if concept == codes.CT_EVENT else PROJECTION)
        elif concept in codes.TOTALS:
            totals.append(content)
        elif concept == codes.IRRADIATION_DETAILS:
            details.append(content)
        else:
            _of_the_report(content, parsed)
    for content in details:
        _spread(content, parsed.events, parsed)
    _read_totals(totals, parsed)
    if not parsed.kind and parsed.events:
        is_ct = any(event.dlp is not None or event.ctdi_vol is not None for event in parsed.events)
        parsed.kind = CT if is_ct else PROJECTION
        parsed.warn("The report does not say of which kind it is; taken from its values.")


def _of_the_report(content: Content, parsed: ParsedDose) -> None:
    concept = content.concept
    if concept == "113809":
        parsed.started_at = content.time or parsed.started_at
    elif concept == "113810":
        parsed.ended_at = content.time
    elif concept == codes.SCOPE:
        parsed.scope = content.words
    elif concept == "121014":
        parsed.manufacturer = parsed.manufacturer or content.words[:64]
    elif concept == "121015":
        parsed.model_name = parsed.model_name or content.words[:64]
    elif concept == "121016":
        parsed.device_serial_number = parsed.device_serial_number or content.words[:64]
    elif concept == "121013":
        parsed.station_name = parsed.station_name or content.words[:64]


# --- totals


def _read_totals(containers: list[Content], parsed: ParsedDose) -> None:
    """Planes are summed; where a device adds a row of all planes, that row is the sum."""
    of_all = [
        container
        for container in containers
        if (plane := container.first(codes.PLANE)) is not None and plane.code[0] == codes.ALL_PLANES
    ]
    breasts: list[tuple[str, float]] = []
    for container in of_all or containers:
        for content in container.walk():
            concept = content.concept
            if concept in codes.REPORT_NUMBERS:
                name, quantity = codes.REPORT_NUMBERS[concept]
                parsed.add(name, measure(content, quantity, parsed))
            elif concept == codes.AGD_TOTAL:
                value = measure(content, units.DOSE, parsed)
                if value is not None:
                    breasts.append((_side(content), value))
            elif concept == codes.DECLARED:
                found = measure(content, units.COUNT, parsed)
                parsed.declared_events = None if found is None else (parsed.declared_events or 0) + int(found)
            elif concept == codes.FRAMES:
                found = measure(content, units.COUNT, parsed)
                parsed.frame_count = parsed.frame_count if found is None else (parsed.frame_count or 0) + int(found)
            elif concept == "113780":
                parsed.reference_point = content.words[:64]
    _read_breasts(breasts, parsed)


def _side(content: Content) -> str:
    side = next((child.code[0] for child in content.children if child.concept in codes.LATERALITY), "")
    return "L" if side in codes.LEFT else "R" if side in codes.RIGHT else "B" if side in codes.BOTH else ""


def _read_breasts(rows: list[tuple[str, float]], parsed: ParsedDose) -> None:
    """One row per breast, and from some devices a third one of both."""
    for side, value in rows:
        if side in ("L", "R"):
            parsed.add("agd_left" if side == "L" else "agd_right", value)
    single = [value for side, value in rows if side != "B"]
    both = [value for side, value in rows if side == "B"]
    if single or both:
        parsed.agd_total = sum(single) if single else sum(both)


# --- events


def _event(container: Content, parsed: ParsedDose) -> DoseEvent:
    event = DoseEvent(position=len(parsed.events) + 1)
    for content in container.walk(without={codes.FILTER, codes.SOURCE}):
        _into(event, content, parsed)
    return event


def _into(event: DoseEvent, content: Content, parsed: ParsedDose) -> None:
    """One content item into the event; what stands there already stays."""
    concept = content.concept
    if concept in codes.EVENT_NUMBERS:
        name, quantity = codes.EVENT_NUMBERS[concept]
        value = measure(content, quantity, parsed)
        if value is not None and getattr(event, name) is None:
            setattr(event, name, value)
    elif concept in codes.EVENT_MORE:
        name, quantity = codes.EVENT_MORE[concept]
        value = measure(content, quantity, parsed)
        if value is not None:
            event.more.setdefault(name, [value, quantity.unit])
    elif concept in codes.EVENT_UIDS:
        event.uid = event.uid or content.words[:64]
    elif concept == codes.FILTER:
        event.filters.append(_filter(content, parsed))
    elif concept == codes.SOURCE:
        _source(event, content, parsed)
    elif content.value_type == "NUM":
        value, unit = content.measured
        if concept and value is not None and len(event.more) < MOST_MORE:
            event.more.setdefault(concept, [value, unit])
    else:
        _words_into(event, content)


def _words_into(event: DoseEvent, content: Content) -> None:
    concept = content.concept
    if concept == codes.PROTOCOL:
        event.protocol = event.protocol or content.words
    elif concept in codes.TARGET_REGIONS:
        event.target_region = content.words[:64] or event.target_region
    elif concept in codes.ANATOMY:
        event.target_region = event.target_region or content.words[:64]
    elif concept in codes.LATERALITY:
        event.laterality = event.laterality or content.words[:32]
    elif concept == codes.VIEW:
        event.view = event.view or content.words[:64]
    elif concept == codes.PLANE:
        event.plane = content.words[:32]
    elif concept in codes.EVENT_TYPES:
        event.type_code, _scheme, event.event_type = content.code
    elif concept in codes.STARTED:
        event.started_at = event.started_at or content.time
    elif concept == codes.PHANTOM:
        event.ctdi_phantom = event.ctdi_phantom or content.code[0]
    elif concept == codes.REPEATED:
        event.is_repeated = content.is_yes
    elif concept == codes.REPEAT_REASON:
        event.repeat_reason = content.words[:64]
    elif concept == codes.REJECTED:
        event.is_rejected = content.is_yes
    elif concept in codes.EVENT_WORDS and (words := content.words):
        event.more.setdefault(codes.EVENT_WORDS[concept], [words[:128], ""])


def _filter(container: Content, parsed: ParsedDose) -> dict[str, object]:
    found: dict[str, object] = {}
    for content in container.walk():
        if content.concept == codes.FILTER_TYPE:
            found["type"] = content.words[:64]
        elif content.concept == codes.FILTER_MATERIAL:
            found["material"] = content.words[:64]
        elif content.concept in FILTER_KEYS:
            value = measure(content, units.LENGTH, parsed)
            if value is not None:
                key = {codes.FILTER_LEAST: "least_mm", codes.FILTER_MOST: "most_mm"}.get(
                    content.concept, "aluminium_mm"
                )
                found[key] = value
    return found


def _source(event: DoseEvent, container: Content, parsed: ParsedDose) -> None:
    """A tube of a CT; of two tubes the first fills the event, and both are listed."""
    tube = DoseEvent()
    name = ""
    for content in container.walk():
        if content.concept == codes.SOURCE_NAME:
            name = content.words[:16]
        else:
            _into(tube, content, parsed)
    for part in ("kvp", "tube_current", "exposure_time", "exposure"):
        if getattr(event, part) is None:
            setattr(event, part, getattr(tube, part))
    for key, value in tube.more.items():
        event.more.setdefault(key, value)
    event.filters.extend(tube.filters)
    event.more.setdefault("sources", []).append({"name": name, "kvp": tube.kvp, "tube_current": tube.tube_current})


# --- the enhanced report


def _spread(details: Content, events: list[DoseEvent], parsed: ParsedDose, depth: int = 0) -> None:
    """Each part names the events it is of; what names none is of those that the part around it is of."""
    if depth >= DEEPEST:
        return
    for part in details.children:
        named = {content.words for content in part.children if content.concept in codes.EVENT_UIDS}
        own = [event for event in events if event.uid in named] if named else events
        if part.concept not in codes.EVENT_UIDS:
            for event in own:
                _into(event, part, parsed)
        if part.concept not in (codes.FILTER, codes.SOURCE):
            _spread(part, own, parsed, depth + 1)


def is_fluoroscopy(parsed: ParsedDose) -> bool:
    return bool(parsed.fluoro_time) or any(event.type_code in FLUOROSCOPY for event in parsed.events)
