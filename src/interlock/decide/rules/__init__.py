"""Which rules are there? One file per rule; its docstring is its page in the user's documentation.

A rule's first parameter is the only subject it may look at. Each file holds the rule's purpose, its parameters, its
scope, the kinds of fact it needs, its evaluation, and dated examples that run as tests.
"""
