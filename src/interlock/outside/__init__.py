"""What leaves the process, and within which limits?

One HTTP client with an address guard, time limits and size limits (`http.py`), templates rendered in a process that
can be killed (`templates.py`), and secrets that are opened only where they are used (`secrets.py`). Agents and metric
providers reach the world through this room and no other way.
"""
