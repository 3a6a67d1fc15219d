"""FHIR subscriptions: R4 with criteria, R5 with topics; told over REST hooks, in order, until they are heard.

``topics``         what may be subscribed to, and which of our events mean it
``services``       asked for, changed, paused, begun again, ended
``hearing``        an event becomes a notification for each subscriber whose criteria it meets
``notifications``  the bundle, the resource or the empty body that goes out
``queue``          sending, retries, signs of life
"""
