"""Interlock: the system of record and decision layer for deployments.

A version goes from CI through environments under policy to every release target, by way of job agents; it is
verified, and promoted or rolled back; every decision can be explained and replayed.

The packages in reading order:

    model       the nouns: frozen dataclasses and enums
    inventory   selector text -> predicate -> matched targets (pure)
    decide      facts -> plan, one file per rule (pure)
    judge       measurements -> verdict of a verification (pure)
    store       all SQL, all transactions, the ledger, the work table
    flow        the loop on one page
    agents      one file per job agent
    metrics     one file per metric provider
    workers     loops with leases and back-off
    access      who may do what
    web         what api and console share
    api         REST, one file per noun
    console     server-rendered pages, one file per page
    documents   what files say, and what must be written so that the server says the same
    client, cli the typed client and the commands
    app         the composition root
"""

__version__ = "0.1.0"
