"""Pure values: the event, its delivery, the retry policy, the selection. No I/O, no driver.

May import `errors` and `clock`.
"""
