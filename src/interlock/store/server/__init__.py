"""What does it take to run a PostgreSQL of our own? The pieces that `store/embedded.py` puts together.

    os_user      as which user it runs, and how it ends when we are killed
    binaries     which PostgreSQL, readable by that user
    place        where the cluster and its socket lie; making one; owning one
    postmaster   whether a server is there, and ending it

Nothing here knows Interlock's tables. With INTERLOCK_DATABASE_URL set, nothing here is used.
"""
