"""Who does the work? One file per job agent: start, find, observe, cancel.

An agent gets a job and returns observations; it never imports the store and decides nothing. Its class (keyed,
findable, told, asked) says what an unanswered start allows and what we promise. One conformance suite runs against
every agent.

Source: DESIGN section 6; core.md section 5.
"""
