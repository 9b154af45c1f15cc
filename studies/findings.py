"""What a study found: how its variants compare, and what can be said of it in sentences."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from functools import cached_property

from studies.diagnosis import Diagnosis, diagnose_data, diagnose_variant
from studies.outcome import Outcome, Repeat
from studies.statistics import Difference, Summary, difference, holm, summarize

LEAST_LOSS = 1e-7  # what is below counts as nothing
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
class Findings:
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
            evidence = f"n = {found.count}, {p_words(found.p_value)}, d = {abs(found.effect):.1f}"
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

    def spread(self, summary: Summary) -> str:
        """Mean ± standard deviation of the primary metric."""
        if math.isnan(summary.spread):
            return self.value(summary.mean)
        if self.outcome.primary.share:
            return f"{100 * summary.mean:.2f} ± {100 * summary.spread:.2f} %"
        return f"{summary.mean:.4g} ± {summary.spread:.2g}"

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
                    f"(n = {one.count}, {p_words(one.p_value)})."
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
                evidence = f"n = {one.count}, {p_words(one.p_value)}"
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


def _epoch_seconds(repeat: Repeat) -> float:
    seconds = repeat.curves["epoch_seconds"]
    return statistics.fmean(seconds[1:] or seconds)


def p_words(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"
