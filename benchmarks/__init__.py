"""Measurements, run by hand: both sides in one run, in turn."""
