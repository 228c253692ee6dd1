"""What leaves the process, and within which limits?

One HTTP client with an address guard, time limits and size limits (`http.py`), templates rendered in a process that
can be killed (`templates.py`), the keys that seal secrets (`secrets.py`), and values that other stores keep
(`references.py`). Agents and metric providers reach the world through this room and no other way.
"""
