"""Craft Easy: the parts of the framework that this distribution ships."""
