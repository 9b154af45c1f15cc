"""Steps that one task alone has, beside those of every task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")


class Journal(Protocol):
    """The run of a step, which is where it keeps what it found."""

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None: ...

    def log_picture(self, name: str, pixels: np.ndarray, step: int | None = None) -> None:
        """Keeps a picture (H, W, 3) uint8: as a file of that name, or where there is a step, as one of a series."""

    def log_figure(self, name: str, figure: Figure) -> None: ...

    def watched(self, work: Iterable[T], total: int, unit: str) -> Iterator[T]:
        """What `work` gives, while people see how far it is."""
        raise NotImplementedError


class OwnStep(ABC):
    """A step of a task's own.

    A subclass is a frozen dataclass: its fields are the parameters, of type str, int, float or Path, and their metadata
    have `help`. It refuses bad values when it is made, with a UserError.
    """

    summary: ClassVar[str]  # for people, one line

    @property
    @abstractmethod
    def title(self) -> str:
        """The run's name."""

    @property
    @abstractmethod
    def note(self) -> str:
        """What it does, in a sentence of Markdown."""

    def prepare(self) -> Any:
        """Reads what it is given; before there is a run.

        Raises:
            UserError: It cannot be read.
        """
        return None

    @abstractmethod
    def run(self, prepared: Any, journal: Journal) -> str:
        """Does it, and gives the result in a sentence.

        Args:
            prepared: What `prepare` gave.
            journal: Where to keep what is found.

        Raises:
            UserError: It cannot be done with these values.
        """
