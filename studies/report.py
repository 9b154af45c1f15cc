"""What a study found, in sentences, numbers, figures and one page."""

from __future__ import annotations

import io
import math
import statistics
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
from matplotlib.figure import Figure

from studies import drawing
from studies.diagnosis import Diagnosis, diagnose_data, diagnose_variant
from studies.outcome import Outcome, Repeat
from studies.statistics import Difference, Summary, difference, holm, summarize

TEMPLATE = Path(__file__).with_name("report.html")
LEAST_LOSS = 1e-7  # what is below counts as nothing
MOST_MARKDOWN = 7_500  # characters; MLflow keeps 8,000 of a description
RISE = 1.05  # the validation loss has risen when it ends above this times its lowest value


@dataclass(frozen=True)
class Row:
    """A variant in the table.

    Attributes:
        variant: Its name.
        validation: The primary metric on the validation split.
        training: The same on the training split.
        diagnosis: What it suffers from.
        lowest_loss: After which epoch the validation loss is lowest.
        rise: By what factor it is higher after the last epoch.
        epoch_seconds: Of an epoch after the first, which compiles.
        target_epochs: Epochs to the target; None where there is no target, or it was not always reached.
        target_seconds: Seconds to it.
        reached: Runs that reached it.
    """

    variant: str
    validation: Summary
    training: Summary
    diagnosis: Diagnosis
    lowest_loss: Summary
    rise: float
    epoch_seconds: Summary
    target_epochs: Summary | None
    target_seconds: Summary | None
    reached: int


@dataclass(frozen=True)
class Report:
    """What can be said about a study.

    Attributes:
        outcome: The study and its runs.
        run_id: Of the study's run.
        reused: Runs that were taken over from earlier studies.
    """

    outcome: Outcome
    run_id: str
    reused: int = 0

    @cached_property
    def rows(self) -> list[Row]:
        """The variants that have a result, in the study's order."""
        return [self._row(variant) for variant in self.outcome.study.variants if self.outcome.of(variant)]

    @cached_property
    def comparisons(self) -> list[Difference]:
        """Of the primary metric, for the pairs that the study asks for and that have a seed in common."""
        return self._compared(
            {variant: self.outcome.values(variant, self.outcome.metric) for variant in self.outcome.study.variants}
        )

    @cached_property
    def target_comparisons(self) -> list[Difference]:
        """Of the epochs to the target, between variants that reached it with every seed."""
        target, primary = self.outcome.study.target, self.outcome.primary
        if target is None:
            return []
        always = {row.variant for row in self.rows if row.target_epochs}
        epochs = {
            variant: {
                repeat.seed: float(epoch)
                for repeat in self.outcome.of(variant)
                if variant in always and (epoch := repeat.epochs_to(primary, target)) is not None
            }
            for variant in self.outcome.study.variants
        }
        return self._compared(epochs, step=1)

    @cached_property
    def gap_comparisons(self) -> list[Difference]:
        """Of the distance between the training and the validation split, in the direction of overfitting."""
        sign = self.outcome.primary.sign
        trained = f"trained_{self.outcome.primary.name}"
        gaps = {
            variant: {
                repeat.seed: sign * (repeat.metrics[trained] - repeat.metrics[self.outcome.metric])
                for repeat in self.outcome.of(variant)
            }
            for variant in self.outcome.study.variants
        }
        return self._compared(gaps)

    def sentences(self) -> list[str]:
        """The findings, most important first."""
        return [
            *self._best(),
            *self._verdicts(),
            *self._target(),
            *self._diagnoses(),
            *self._gaps(),
            *self._more_data(),
            *self._overfitting(),
            *self.failures(),
        ]

    def failures(self) -> list[str]:
        """What has no result, and why."""
        return [f"{one.variant}, seed {one.seed} failed: {one.failure}" for one in self.outcome.failures]

    def verdict(self, found: Difference) -> str:
        """One comparison in words, e.g. "adam beats sgd by 0.40 ± 0.10 points (n = 5, p = 0.002, d = 3.1)"."""
        better = self.outcome.primary.sign * found.mean > 0
        winner, loser = (found.first, found.second) if better else (found.second, found.first)
        size = self.amount(abs(found.mean), found.half_width)
        if found.distinguishable:
            evidence = f"n = {found.count}, {_p(found.p_value)}, d = {abs(found.effect):.1f}"
            return f"{winner} beats {loser} by {size} ({evidence})."
        lead = f"{found.first} and {found.second} are not distinguishable at n = {found.count}"
        if found.mean == 0:
            return f"{lead}: they came out the same."
        count = found.needed(len(self.comparisons))
        needed = f"about {max(count, found.count + 1)}" if count else "more than a thousand"
        return f"{lead}: {winner} leads by {size}; if that is real, {needed} repeats would tell."

    def value(self, number: float) -> str:
        """A value of the primary metric."""
        return f"{100 * number:.2f} %" if self.outcome.primary.share else f"{number:.4g}"

    def amount(self, number: float, half_width: float = math.nan) -> str:
        """A difference in the primary metric."""
        scale, unit = (100, " points") if self.outcome.primary.share else (1, f" in {self.outcome.primary.name}")
        digits = ".2f" if self.outcome.primary.share else ".3g"
        width = "" if math.isnan(half_width) else f" ± {scale * half_width:{digits}}"
        return f"{scale * number:z{digits}}{width}{unit}"

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

    def spread(self, summary: Summary) -> str:
        """Mean ± standard deviation of the primary metric."""
        if math.isnan(summary.spread):
            return self.value(summary.mean)
        if self.outcome.primary.share:
            return f"{100 * summary.mean:.2f} ± {100 * summary.spread:.2f} %"
        return f"{summary.mean:.4g} ± {summary.spread:.2g}"

    def html(self) -> str:
        """The page: it needs nothing but itself."""
        environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
        template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
        figures = [(name, _svg(figure)) for name, figure in self.figures.items()]
        return template.render(
            report=self, outcome=self.outcome, figures=figures, captions=CAPTIONS, p=_p, isnan=math.isnan
        )

    def _row(self, variant: str) -> Row:
        outcome, primary, target = self.outcome, self.outcome.primary, self.outcome.study.target
        repeats = outcome.of(variant)
        losses = [repeat.curves["val_loss"] for repeat in repeats]
        mean_losses = [statistics.fmean(epoch) for epoch in zip(*losses, strict=False)]  # a run may stop earlier
        reached = [(r, e) for r in repeats if target is not None and (e := r.epochs_to(primary, target)) is not None]
        always = bool(reached) and len(reached) == len(repeats)
        return Row(
            variant,
            validation=summarize(list(outcome.values(variant, outcome.metric).values())),
            training=summarize(list(outcome.values(variant, f"trained_{primary.name}").values())),
            diagnosis=diagnose_variant(outcome, variant),
            lowest_loss=summarize([1 + min(range(len(loss)), key=loss.__getitem__) for loss in losses]),
            rise=mean_losses[-1] / max(min(mean_losses), LEAST_LOSS),
            epoch_seconds=summarize([_epoch_seconds(repeat) for repeat in repeats]),
            target_epochs=summarize([epochs for _, epochs in reached]) if always else None,
            target_seconds=summarize([repeat.seconds_to(epochs) for repeat, epochs in reached]) if always else None,
            reached=len(reached),
        )

    def _compared(self, values: dict[str, dict[int, float]], step: float = 0.0) -> list[Difference]:
        pairs = [pair for pair in self.outcome.study.pairs if values[pair[0]].keys() & values[pair[1]].keys()]
        return holm([difference(first, second, values[first], values[second], step) for first, second in pairs])

    @cached_property
    def leader(self) -> Row:
        """The variant with the best mean."""
        return max(self.rows, key=lambda row: self.outcome.primary.sign * row.validation.mean)

    def _best(self) -> list[str]:
        if not self.rows:
            return ["No run has a result."]
        best = self.leader
        word = "Highest" if self.outcome.primary.higher_is_better else "Lowest"
        return [f"{word} mean {self.outcome.metric}: {best.variant}, {self.spread(best.validation)}."]

    def _verdicts(self) -> list[str]:
        tested = [found for found in self.comparisons if found.count > 1]
        if self.comparisons and not tested:
            return ["With one seed there is no spread to hold a difference against; ask for repeats=3 or more."]
        return [self.verdict(found) for found in tested]

    def _target(self) -> list[str]:
        target = self.outcome.study.target
        if target is None:
            return []
        found = []
        for row in self.rows:
            if row.target_epochs:
                epochs = row.target_epochs
                spread = "" if math.isnan(epochs.spread) else f" ± {epochs.spread:.1f}"
                found.append(f"{row.variant} reaches {self.value(target)} after {epochs.mean:.1f}{spread} epochs.")
            else:
                found.append(
                    f"{row.variant} reaches {self.value(target)} in {row.reached} of {row.validation.count} runs."
                )
        for one in self.target_comparisons:
            if one.count < 2:
                continue
            fewer, more = (one.first, one.second) if one.mean < 0 else (one.second, one.first)
            if one.distinguishable:
                found.append(
                    f"{fewer} needs {abs(one.mean):.1f} ± {one.half_width:.1f} epochs less than {more} "
                    f"(n = {one.count}, {_p(one.p_value)})."
                )
            else:
                found.append(
                    f"In epochs to the target {one.first} and {one.second} are not distinguishable at n = {one.count}."
                )
        return found

    def _diagnoses(self) -> list[str]:
        found = []
        for kind in ("high bias", "high variance", "balanced"):
            rows = [row for row in self.rows if row.diagnosis.kind == kind]
            if not rows:
                continue
            part = "variance" if kind == "high variance" else "bias"
            sizes = ", ".join(
                f"{row.variant} ({self.amount(getattr(row.diagnosis, part))})" if kind != "balanced" else row.variant
                for row in rows
            )
            found.append(f"{kind.capitalize()}: {sizes}.")
        return found

    def _gaps(self) -> list[str]:
        found = []
        for one in self.gap_comparisons:
            if one.distinguishable:
                closer, other = (one.first, one.second) if one.mean < 0 else (one.second, one.first)
                size = self.amount(abs(one.mean), one.half_width)
                evidence = f"n = {one.count}, {_p(one.p_value)}"
                found.append(f"{closer} is closer to its training split than {other} by {size} ({evidence}).")
        return found

    def _more_data(self) -> list[str]:
        if (found := diagnose_data(self.outcome, self.comparisons)) is None:
            return []
        step = f"from {found.fewer:,} to {found.most:,} examples"
        size = self.amount(abs(found.gain), found.half_width)
        if not found.distinguishable:
            return [f"Whether more data would help cannot be told: {step} made no distinguishable difference."]
        if found.gain > 0:
            return [f"More data would help: {step} the model became better by {size}."]
        return [f"More data would not help: {step} the model became worse by {size}."]

    def _overfitting(self) -> list[str]:
        dates = ", ".join(
            f"{row.variant} (lowest after epoch {row.lowest_loss.mean:.1f}, {row.rise - 1:.0%} higher at the end)"
            for row in self.rows
            if row.rise > RISE
        )
        return [f"Overfitting, by the validation loss: {dates}."] if dates else []

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


def _epoch_seconds(repeat: Repeat) -> float:
    seconds = repeat.curves["epoch_seconds"]
    return statistics.fmean(seconds[1:] or seconds)


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


def _or_none(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _p(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "study", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
