"""How does a Python program talk to Interlock? The typed client over REST; the command line uses it.

It imports `model` and nothing else of ours, and it stays cheap to import: `interlock --help` waits for it.
"""
