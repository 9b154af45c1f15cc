"""Watching over a model that is served: what its servers recorded of it."""
