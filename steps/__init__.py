"""The entry points of MLproject, one thin module each: parse, call, log."""

import gc

# Importing MLflow and Keras makes a million objects that stay for good, and Python's collector walks all of them again
# and again meanwhile. Looking more rarely saves a second at every start.
gc.set_threshold(100_000, 100, 100)
