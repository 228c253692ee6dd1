"""Did it work? The state machine of a verification and the judgement of its measurements. Pure.

Measurements arrive as facts; this room says what they mean: thresholds, consecutive successes and failures,
inconclusive ones, and when a verification is over. *Failed* (it did not work) and *errored* (we could not tell) are
different here as everywhere.
"""
