"""Who may do what? One table of permissions and one function that both API and console ask.

Keys, sessions and people become an actor at the edge; here the actor meets the permission. Nothing else in the code
compares roles.
"""
