"""The text forms of a record: Event JSON and MongoDB Extended JSON.

May import what `store` may; no module here reads or writes the database.
"""
