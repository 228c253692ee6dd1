"""Which resources does a selector mean, and which release targets follow from that? Pure.

A selector is CEL text. It is parsed and type-checked once (`selector.py`), then compiled from its checked tree: to
Python for matching in memory (`to_python.py`) and to a WHERE fragment with numbered parameters for matching in
PostgreSQL (`to_sql.py`, the one place outside `store/` where SQL text may stand). `targets.py` joins deployments,
environments and resources into targets.
"""
