"""What a handler is, how one is called, and the context in which it runs.

May import `model` and what is below it; knows neither the store nor the engine.
"""
