"""The entry points of MLproject, one thin module each: parse, call, log."""
