"""A small bookshop on the web: FastAPI, MongoDB, and an event bus that loses nothing."""
