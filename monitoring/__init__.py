"""Watches what a model is asked and answers: whether that is still what it was validated on, and what that means."""
