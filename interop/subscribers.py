"""What the interfaces hear, and what falls due for them. Loaded by every process."""

import interop.alerts
import interop.dicom.forwarding_subscribers
import interop.dicom.subscribers
import interop.fhir.subscribers
import interop.hl7.subscribers
import interop.imaging.subscribers
import interop.report_subscribers
import interop.webhooks.subscribers  # noqa: F401
