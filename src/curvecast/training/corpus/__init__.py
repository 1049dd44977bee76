"""Trains a corpus of many small tasks, from which the shipped prior learns."""
