"""What is stored, and how does it change together? All SQL and all transactions.

SQL text stands in `sql/<noun>.sql` as named queries and in `migrations/`, nowhere else. There is one write door,
`Tx.record` in `tx.py`: it writes changes, their ledger events and their wake-ups in one transaction, and a trigger of
the database refuses a change of status without a ledger row. `work.py` keeps "this key needs a look, no later than
T". `embedded.py` supervises the PostgreSQL that Interlock starts when nobody gave it one.

Source: DESIGN section 5; core.md sections 3, 6, 7 and 8.
"""
