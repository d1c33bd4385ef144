"""What is compared: each module has a class Competitor with the same methods.

A module is imported by its own worker alone, in an environment of its own.
"""
