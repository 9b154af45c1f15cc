"""How a step ends that could not do all of its work."""


class StepError(Exception):
    """The step did what it could, and some of it failed; the message says what."""
