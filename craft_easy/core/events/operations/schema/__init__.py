"""The catalogue of event classes: as documents, against a baseline, and against the events of a log.

    entries.py     the classes that are loaded, with their schemas and handlers
    baseline.py    the catalogue as one JSON object, written and read
    asyncapi.py    an AsyncAPI document
    markdown.py    a page for people
    stored.py      stored events that their class refuses

May import what `operations` may.
"""
