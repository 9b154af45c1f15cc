"""Tiny tasks, one for each form that no task of the project has, which go through the whole life in seconds."""
