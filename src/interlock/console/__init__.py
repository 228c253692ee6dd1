"""What does a person see? Server-rendered pages: one file per page, one template of the same name.

Pages are read through the store and written through the same doors as the API. They work without script; htmx and
server-sent events make them live. A held target always says which rule holds, since when, until when, and who can
act.
"""
