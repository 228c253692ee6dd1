"""What do API and console share? Routing on the raw path, sign-in, CSRF, errors as answers, paging, server-sent events.

Nothing here knows a noun. What is about one noun stands in `api/` or `console/` under the noun's name.
"""
