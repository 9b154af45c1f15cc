"""What a version that answers here records of it. Its own code does so, where it can: that of earlier versions has no
record, and that of later ones may have more."""

from __future__ import annotations

import logging
from typing import Any

from served.record import Count

logger = logging.getLogger(__name__)


class Traffic:
    """Has a version keep a record where the environment asks for one, see served/record.py.

    Args:
        model: The version's own code, served/model.py as it was then; None for what keeps no record.
        source: What it is known as, as a URI of MLflow.
    """

    def __init__(self, model: Any = None, source: str = "") -> None:
        self._model = model if hasattr(model, "record_traffic") else None
        self._source = source

    def begins(self, count: Count | None) -> None:
        """The version answers from now on.

        Args:
            count: Whom to tell how many items were recorded, and how many were lost.
        """
        if self._model is not None:
            self._ask("record_traffic", self._source, count)

    def ends(self, is_replaced: bool) -> None:
        """Another version answers from now on, or none."""
        if self._model is not None:
            self._ask("end_traffic", is_replaced)

    def named(self, sent: str) -> str:
        """The id of the request that this thread is about to answer: `sent`, where that can be one; empty where there
        is no record."""
        return str(self._ask("begin", sent) or "") if self._model is not None else ""

    def refused(self, kind: str, seconds: float) -> None:
        """This thread's request was refused before the version saw it, for a reason of `served.refusal.KINDS`."""
        if self._model is not None:
            self._ask("refused", kind, seconds)

    def _ask(self, method: str, *arguments: Any) -> Any:
        """What the version's own code does with a record; an answer does not depend on it."""
        try:
            return getattr(self._model, method)(*arguments)
        except Exception:
            logger.exception("%s keeps no record of what it serves.", self._source)
            self._model = None
            return None
