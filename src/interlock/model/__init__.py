"""What are the nouns? Frozen dataclasses and enums, and the rules that hold for one value alone.

One file per noun, named as in `docs/glossary.md`; the same noun has the same file name in every package. Beside the
nouns stand `job.py` with the transition table of a job's status, `event.py` with every kind of ledger event, and
`errors.py` with the tree of errors. This room imports nothing of ours and does nothing: no I/O, no clock, no log, no
randomness.
"""
