"""What does the REST interface offer? One file per noun: parse, call the store, render.

The interface keeps the public contract's words and paths. A handler checks the request, asks `access` whether the
actor may do it, reads or writes through `store`, and renders. It decides nothing about deployments.

Source: contract.md.
"""
