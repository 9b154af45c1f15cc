"""What gateways keep of a challenger, and what promotions make of it."""

from __future__ import annotations

import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from registry import shadow as module
from registry.shadow import Shadow, appoint, challenger, dismiss, keep, shadow_beside


@pytest.fixture
def versions(store: MlflowClient) -> list[ModelVersion]:
    store.create_registered_model("digits")
    return [store.create_model_version("digits", source=f"s3://models/{number}") for number in (1, 2)]


def test_what_several_gateways_counted_is_added_up_beside_one_champion(
    store: MlflowClient, versions: list[ModelVersion]
) -> None:
    keep(store, "digits", "2", "a", {"1": {"agreed": 5}})
    keep(store, "digits", "2", "a", {"1": {"agreed": 900, "differed": 10, "skipped": 3}, "7": {"agreed": 40}})
    keep(store, "digits", "2", "b", {"1": {"agreed": 88, "differed": 2, "failed": 4}})
    found = shadow_beside(store.get_model_version("digits", "2"), "1")
    assert found == Shadow("1", agreed=988, differed=12, failed=4, skipped=3)
    assert found.items == 1000
    assert found.figures == {"shadow_items": 1000, "shadow_agreement": 0.988, "shadow_failed": 4}
    said = "In the shadow of version 1 it answered 1,000 requests, agreed in 98.8 % of them, and failed on 4."
    assert found.in_words == said
    assert shadow_beside(store.get_model_version("digits", "1"), "1") == Shadow("1")


def test_of_one_that_was_asked_nothing_nothing_is_said() -> None:
    assert (Shadow("1", skipped=7).figures, Shadow("1", skipped=7).in_words) == ({}, "")
    failed = Shadow("1", failed=7)
    assert failed.figures == {"shadow_items": 0, "shadow_failed": 7}
    assert failed.in_words == "In the shadow of version 1 it answered 0 requests and failed on 7."


@pytest.mark.parametrize("text", ["", "7", "[]", '{"1": 7}', '{"1": {"agreed": "many"}}', '{"1": {"agreed": null}}'])
def test_what_somebody_wrote_by_hand_does_not_count(
    store: MlflowClient, versions: list[ModelVersion], text: str
) -> None:
    store.set_model_version_tag("digits", "2", f"{module.PREFIX}mine", text)
    keep(store, "digits", "2", "a", {"1": {"agreed": 5}})
    assert shadow_beside(store.get_model_version("digits", "2"), "1") == Shadow("1", agreed=5)


def test_the_alias_is_removed_from_the_version_that_has_it(store: MlflowClient, versions: list[ModelVersion]) -> None:
    assert challenger(store, "digits") is None
    first, second = versions
    appoint(store, first)
    appoint(store, second)
    dismiss(store, first)
    assert challenger(store, "digits") == "2"
    dismiss(store, second)
    assert challenger(store, "digits") is None
    dismiss(store, second)
