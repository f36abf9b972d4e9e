"""The schemas of event classes, and what changed between two of them.

    generate.py    the JSON schemas of a class: what the log keeps, and what the class accepts
    shape.py       a schema as alternatives, and in words
    compare.py     the differences between two schemas
    catalogue.py   the changes between two catalogues of events, and which stored events they leave behind

May import the rest of `model`.
"""
