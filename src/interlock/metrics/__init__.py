"""How do we learn whether a deployment works? One file per metric provider: measure.

A provider takes one measurement and returns what it saw. What that means is for `judge/` to say. An answer that could
not be had is errored, never failed. One conformance suite runs against every provider.
"""
