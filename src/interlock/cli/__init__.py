"""What can be done from a terminal? One file per command, loaded only when it is called.

Commands talk REST through `client`, so that everything they can do the API can do as well. The exceptions start or
tend processes on this machine: `up`, `api`, `worker` and `db` reach `app`, and only they.
"""
