"""What changes through FHIR: the same services as the pages, in FHIR's words.

``checks``       structure and codes of what comes, before anything is looked up
``reading``      elements of a resource, and what is wrong about them, with the place
``references``   what they lead to, among what the caller may see
``patching``     JSON Patch (RFC 6902)
``conditional``  If-None-Exist, conditional update, If-Match
``validating``   ``$validate``: what a write would say
``bundles``      batch and transaction
and a module per resource type. ``registering`` gives them to the server.
"""
