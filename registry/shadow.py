"""The alias `challenger`, and what its version answered in the champion's shadow.

Gateways keep that in tags of the version, a tag each, and promotions read it there, on whichever machine.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from registry.store import aliased, retried_once

ALIAS = "challenger"
PREFIX = "shadow."  # of the tags, before what a gateway is known by


@dataclass(frozen=True)
class Shadow:
    """What became of items that a champion answered, and that a version was to answer, too.

    Attributes:
        champion: The champion's version.
        agreed: Items to which both gave the same answer, by the standard of the answer's form.
        differed: Items to which they gave different ones.
        failed: Items to which the version had no answer.
        skipped: Items that it was not asked about, for want of time.
    """

    champion: str
    agreed: int = 0
    differed: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def items(self) -> int:
        """Those that it answered."""
        return self.agreed + self.differed

    @property
    def figures(self) -> dict[str, float]:
        """The numbers by name, for the ledger; none where it was asked nothing."""
        if not self.items + self.failed:
            return {}
        share = {"shadow_agreement": self.agreed / self.items} if self.items else {}
        return {"shadow_items": self.items, **share, "shadow_failed": self.failed}

    @property
    def in_words(self) -> str:
        """The numbers for people, in a sentence; empty where it was asked nothing."""
        if not self.figures:
            return ""
        agreed = f", agreed in {100 * self.agreed / self.items:.1f} % of them," if self.items else ""
        answered = f"In the shadow of version {self.champion} it answered {self.items:,} requests{agreed}"
        return f"{answered} and failed on {self.failed:,}."


def challenger(client: MlflowClient, name: str) -> str | None:
    """The version that the alias points to, None where there is none."""
    return aliased(client, name, ALIAS)


def appoint(client: MlflowClient, version: ModelVersion) -> None:
    """Makes a version the challenger."""
    retried_once(client.set_registered_model_alias, version.name, ALIAS, str(version.version))


def dismiss(client: MlflowClient, version: ModelVersion) -> None:
    """Removes the alias where it points to this version, which is the champion now."""
    if challenger(client, version.name) == str(version.version):
        client.delete_registered_model_alias(version.name, ALIAS)


def keep(client: MlflowClient, name: str, version: str, gateway: str, counts: Mapping[str, Mapping[str, int]]) -> None:
    """Keeps what a gateway has counted of a challenger, in place of what it kept before.

    Args:
        client: Of the tracking store.
        name: Of the registered model.
        version: The challenger's.
        gateway: What it is known by, unlike any other.
        counts: Items by the champion's version, and by outcome, as the attributes of `Shadow` are named.
    """
    retried_once(client.set_model_version_tag, name, version, f"{PREFIX}{gateway}", json.dumps(counts))


def shadow_beside(version: ModelVersion, champion: str) -> Shadow:
    """What all gateways together counted of a version beside this champion."""
    total: Counter[str] = Counter()
    for key, text in version.tags.items():
        if key.startswith(PREFIX):
            total += _counted(text, champion)
    return Shadow(champion, **{outcome: total[outcome] for outcome in ("agreed", "differed", "failed", "skipped")})


def _counted(text: str, champion: str) -> Counter[str]:
    """A gateway's tag; nothing where somebody has written something else there."""
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        return Counter({str(outcome): int(items) for outcome, items in json.loads(text).get(champion, {}).items()})
    return Counter()
