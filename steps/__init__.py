"""The entry points of MLproject, one thin module each: parse, call, say what to do next."""

import lifecycle  # noqa: F401  # it sets up the process, which has to come before anything large is imported
