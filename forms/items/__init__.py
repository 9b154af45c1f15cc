"""The forms of an item: each module defines `FORM`, an `Item`, and is known by its own name."""
