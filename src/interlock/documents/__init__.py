"""What do files say, and what must be written so that the server says the same? What `interlock apply` is made of.

A document is one object: a `type`, what it is known by, and its fields, flat. A field is what the REST interface calls
it; what the interface says by id a document says by name. The same form is read (`apply`), written (`export`), compared
(`--diff`) and offered to editors (`schema`), from one table per kind.

In reading order:

    shapes      what a value may be: checked with its path, described as JSON Schema; one text for both
    kinds/      ONE FILE PER KIND: its keys, how it is loaded from the server, what writes it, what removes it
    sources     files, folders, patterns, addresses: which texts are meant
    reading     text to documents, with the line of every word
    older       words of older documents, in today's
    meaning     what a shape cannot say: selectors, rules, an agent's config
    hints       names that may come to exist later: told, not refused
    server      what stands there, by name; ids for what will stand
    plan        documents and server to steps: created, changed, unchanged, and the requests behind each
    prune       what stands there, belongs to these files and is in none of them
    diff        a step field by field, secrets masked
    text        an object of the server as a document, and a document as YAML
    schema      JSON Schema of all kinds

Nothing is written from here: a plan is a list of requests, which are sent as one (decision record 0021).
"""
