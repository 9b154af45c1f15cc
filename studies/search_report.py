"""What a search found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from studies import drawing
from tasks.contract import Primary, how_to_run

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

SHOWN = 5  # best trials in the description


@dataclass(frozen=True)
class SearchReport:
    """What can be said about a search.

    Attributes:
        task: Name of the task.
        primary: The metric that decides.
        trials: All of them, in their order.
        run_id: The train run of the best one.
    """

    task: str
    primary: Primary
    trials: Sequence[FrozenTrial]
    run_id: str

    def completed(self) -> list[FrozenTrial]:
        """Best first."""
        done = [trial for trial in self.trials if trial.state.name == "COMPLETE"]
        return sorted(done, key=lambda trial: trial.value or 0.0, reverse=self.primary.higher_is_better)

    def sentence(self) -> str:
        best = self.completed()[0]
        states = Counter(trial.state.name for trial in self.trials)
        ends = f"{states['COMPLETE']} completed, {states['PRUNED']} stopped early, {states['FAIL']} failed"
        value = f"val_{self.primary.name} {best.value:.4f}"
        return (
            f"Best of {len(self.trials)} trials ({ends}): {value} with {_settings(best.params)}. "
            "The best of many looks better on the validation split than it is."
        )

    def advice(self) -> str:
        """What to do with it."""
        step = how_to_run("evaluate", task=self.task, model_uri=f"runs:/{self.run_id}")
        return f"Scored on the test split it is a candidate for promotion: {step}"

    def markdown(self) -> str:
        """The description of the search's run."""
        rows = "\n".join(
            f"| {trial.number + 1} | {trial.value:.4f} | {_settings(trial.params)} |"
            for trial in self.completed()[:SHOWN]
        )
        head = f"| trial | val_{self.primary.name} | configuration |\n|---|---|---|"
        return f"{self.sentence()}\n\n{self.advice()}\n\n{head}\n{rows}"

    def figure(self) -> Figure:
        """The completed trials: the metric by each searched field."""
        return drawing.trials(self.completed(), self.primary)


def _settings(params: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_short(value)}" for name, value in sorted(params.items()))


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
