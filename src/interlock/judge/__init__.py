"""Did it work? Measurements in, verdict out. Pure: no provider is called here and no clock is read.

    conditions   one answer of a provider -> passed, failed, inconclusive or errored
    machine      measurements -> state of a metric, next instant to measure; metrics -> state of the verification

There is one formula for the state and it stands in `machine`. Nothing else computes it, SQL least of all: the reference
has three that disagree.
"""
