"""What a study found, as sentences, numbers, figures and one page."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pages.page import page, svg
from studies import drawing
from studies.findings import Findings, Row, p_words
from studies.statistics import Difference

TEMPLATE = Path(__file__).with_name("report.html")
MOST_MARKDOWN = 7_500  # characters; MLflow keeps 8,000 of a description
CAPTIONS = {
    "results": "Each dot is one seed on the validation split; the bar is the mean's 95 % interval. The diamond is the "
    "mean on examples of the training split, measured the same way: how far it is from the bar is variance.",
    "differences": "Paired differences over the seeds, first minus second, with 95 % intervals. Pale ones are not "
    "distinguishable from nothing once all comparisons are taken into account.",
    "curves": "Means over the seeds, validation solid with a band from the lowest to the highest seed, training "
    "dashed. The training curves are Keras's: measured while the weights change, with dropout on and penalties added.",
    "by_examples": "Means with bands from the lowest to the highest seed. If the two lines still approach each other, "
    "more data would help; if both are far below the dashed line, a larger model would.",
}


class Report(Findings):
    """The findings in the forms in which people and programs read them."""

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """By name; none where nothing has a result."""
        if not self.rows:
            return {}
        found = {"results": drawing.results(self.outcome)}
        if self.comparisons:
            found["differences"] = drawing.differences(self.comparisons, self.outcome)
        found["curves"] = drawing.curves(self.outcome)
        if self.outcome.study.by_examples:
            found["by_examples"] = drawing.by_examples(self.outcome)
        return found

    def metrics(self) -> dict[str, float]:
        """For the study's run: the best variant's mean, and how many runs there were."""
        repeats = self.outcome.repeats
        result = {"study_runs": len(repeats), "study_reused": self.reused, "study_failed": len(self.outcome.failures)}
        return result | ({self.outcome.metric: self.leader.validation.mean} if self.rows else {})

    def numbers(self) -> dict[str, Any]:
        """Everything that the report is made from. All but "seconds" and "runs" is the same when a study is repeated
        with the same seeds."""
        outcome = self.outcome
        return {
            "task": outcome.task,
            "study": outcome.name,
            "question": outcome.study.question,
            "metric": outcome.metric,
            "variants": {row.variant: self._numbers(row) for row in self.rows},
            "comparisons": [_plain(found) for found in self.comparisons],
            "sentences": self.sentences(),
            "failures": [[f.variant, f.seed, f.failure] for f in outcome.failures],
            "seconds": {row.variant: row.epoch_seconds.mean for row in self.rows},
            "runs": {f"{repeat.variant}, seed {repeat.seed}": repeat.run_id for repeat in outcome.repeats},
        }

    def markdown(self) -> str:
        """The description of the study's run."""
        outcome = self.outcome
        reused = f" {self.reused} of {len(outcome.repeats)} runs were reused." if self.reused else ""
        opening = f"**{outcome.study.question}** The whole report: artifact `report.html`.{reused}"
        findings = "\n".join(f"- {sentence}" for sentence in self.sentences())
        head = f"| variant | {outcome.metric} | training | diagnosis | n |\n|---|---|---|---|---|"
        table = "\n".join(
            f"| {row.variant} | {self.spread(row.validation)} | {self.value(row.training.mean)} | "
            f"{row.diagnosis.kind} | {row.validation.count} |"
            for row in self.rows
        )
        rest = MOST_MARKDOWN - len(opening) - len(head) - len(table)
        if len(findings) > rest:
            whole_lines = findings[: max(0, rest)].rpartition("\n")[0]
            findings = f"{whole_lines}\n- …"
        return f"{opening}\n\n{findings}\n\n{head}\n{table}"

    def html(self) -> str:
        """The page: it needs nothing but itself."""
        figures = [(name, svg(figure, "study")) for name, figure in self.figures.items()]
        return page(
            TEMPLATE, report=self, outcome=self.outcome, figures=figures, captions=CAPTIONS, p=p_words, isnan=math.isnan
        )

    def _numbers(self, row: Row) -> dict[str, Any]:
        return {
            "values": {
                str(seed): value for seed, value in self.outcome.values(row.variant, self.outcome.metric).items()
            },
            "mean": row.validation.mean,
            "spread": _or_none(row.validation.spread),
            "training": row.training.mean,
            "diagnosis": row.diagnosis.kind,
            "bias": row.diagnosis.bias,
            "variance": row.diagnosis.variance,
            "margin": row.diagnosis.margin,
            "epochs_to_target": row.target_epochs.mean if row.target_epochs else None,
        }


def _or_none(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _plain(found: Difference) -> dict[str, Any]:
    return {
        "first": found.first,
        "second": found.second,
        "mean": found.mean,
        "half_width": _or_none(found.half_width),
        "p_value": _or_none(found.p_value),
        "effect": _or_none(found.effect),
        "pairs": found.count,
        "distinguishable": found.distinguishable,
    }
