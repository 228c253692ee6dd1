"""What would happen? The same core on a virtual clock.

`world.py` is the only model of a commit in memory, and a law proves that it agrees with the store; `agents.py` holds
agents with faults on purpose; `scenario.py` plays a story. Nothing here is used while Interlock decides
about real targets.
"""
