"""Who drives the loop? Workers claim work, call `flow`, and come back: leases and back-off, no decisions.

One file per kind of work. A worker that is killed loses nothing: its lease ends and another takes the key. What to do
with the key is said in `flow.py` alone.

Source: core.md section 8.
"""
