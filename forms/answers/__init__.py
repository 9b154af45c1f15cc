"""The forms of an answer: each module defines `FORM`, an `Answer`, and is known by its own name."""
