"""Candidates that answer in the champion's shadow before they are promoted."""

from __future__ import annotations

import pytest
from mlflow import MlflowClient

from lifecycle import promotion
from lifecycle.challenging import challenge
from lifecycle.promotion import promote
from registry import candidates, shadow
from registry.candidates import models_of
from serving.rehearsal import Rehearsal, RehearsalError, TooSlowError
from steps import promote as promote_step
from steps.cli import main
from tasks.contract import UserError
from tests.lifecycle.models import NOTE, TASK, champion, last_run, ledger, trained


@pytest.mark.usefixtures("quick")
def test_the_candidate_gets_the_alias_and_no_move_is_made(
    champion_store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    good, better, _ = trained(champion_store)
    assert challenge(TASK, "best")
    assert shadow.challenger(champion_store, "digits") == "2"
    version = champion_store.get_model_version("digits", "2")
    assert candidates.model_id_of(version) == better.model_id
    assert candidates.GATE_TAG not in version.tags
    assert candidates.REHEARSAL_TAG in version.tags
    assert champion(champion_store) == good.model_id
    assert len(ledger(champion_store).moves()) == 1
    said = f"{better.name} ({better.uri}) is the challenger now: models:/digits@challenger is version 2."
    assert said in capsys.readouterr().out
    assert said in last_run(champion_store, "promote").data.tags[NOTE]


@pytest.mark.usefixtures("quick")
def test_the_champion_challenges_nobody(champion_store: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    good, _, _ = trained(champion_store)
    assert not challenge(TASK, good.uri)
    assert "is the champion already; nothing to do." in capsys.readouterr().out
    assert shadow.challenger(champion_store, "digits") is None


@pytest.mark.usefixtures("quick")
def test_without_a_champion_nobody_is_challenged(trained_store: MlflowClient) -> None:
    with pytest.raises(UserError, match=r"digits has no champion to challenge\. Promote one first: mlflow run"):
        challenge(TASK, "best")


@pytest.mark.parametrize("error", [RehearsalError("its answers differ"), TooSlowError("it takes 170.0 ms")])
def test_one_that_does_not_pass_its_rehearsal_is_no_challenger(
    champion_store: MlflowClient, monkeypatch: pytest.MonkeyPatch, error: RehearsalError
) -> None:
    def fails(*_: object) -> Rehearsal:
        raise error

    monkeypatch.setattr(promotion, "rehearse", fails)
    if isinstance(error, TooSlowError):
        assert not challenge(TASK, "best")
    else:
        with pytest.raises(RehearsalError):
            challenge(TASK, "best")
    assert shadow.challenger(champion_store, "digits") is None


@pytest.mark.usefixtures("quick")
def test_what_it_answered_is_told_and_with_its_promotion_the_alias_goes(
    champion_store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    _, better, _ = trained(champion_store)
    challenge(TASK, better.uri)
    shadow.keep(champion_store, "digits", "2", "a", {"1": {"agreed": 990, "differed": 10, "failed": 1}})
    assert promote(TASK, "models:/digits@challenger", least_shadowed=1000)
    said = "In the shadow of version 1 it answered 1,000 requests, agreed in 99.0 % of them, and failed on 1."
    assert said in capsys.readouterr().out
    assert champion(champion_store) == better.model_id
    assert shadow.challenger(champion_store, "digits") is None
    metrics = last_run(champion_store, "promote").data.metrics
    assert (metrics["gate_shadow_items"], metrics["gate_shadow_agreement"]) == (1000, 0.99)
    move = ledger(champion_store).moves()[-1]
    assert move.why.endswith(said)
    assert move.figures["shadow_items"] == 1000
    assert said in str(champion_store.get_model_version("digits", "2").description)


@pytest.mark.usefixtures("quick")
def test_too_few_requests_are_a_normal_outcome_and_best_takes_it_again(
    champion_store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    good, better, _ = trained(champion_store)
    assert not promote(TASK, "best", least_shadowed=1000)
    words = capsys.readouterr().out
    assert "was not promoted. In the shadow of version 1 it answered 0 requests, and 1,000 are asked for." in words
    assert f"mlflow run . -e promote -P task=digits -P model_uri={better.uri} -P to=challenger" in words
    assert champion(champion_store) == good.model_id
    assert last_run(champion_store, "promote").info.status == "FINISHED"
    shadow.keep(champion_store, "digits", "2", "a", {"7": {"agreed": 1000}, "1": {"agreed": 900, "failed": 200}})
    assert not promote(TASK, "best", least_shadowed=1000)  # beside the present champion, and only what it answered
    assert "it answered 900 requests, and 1,000 are asked for." in capsys.readouterr().out
    assert promote(TASK, "best", least_shadowed=900)


@pytest.mark.usefixtures("quick")
def test_another_ones_alias_stays(champion_store: MlflowClient) -> None:
    _, better, linear = trained(champion_store)
    challenge(TASK, linear.uri)
    assert promote(TASK, better.uri)
    assert shadow.challenger(champion_store, "digits") == "2"


@pytest.mark.usefixtures("quick")
def test_the_first_champion_has_no_shadow_to_stand_in(trained_store: MlflowClient) -> None:
    assert promote(TASK, "best", least_shadowed=1000)


@pytest.mark.usefixtures("quick")
def test_the_step_says_what_to_do_next(champion_store: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(promote_step.parser(), promote_step.run, ["--task", "digits", "--to", "challenger"])
    assert left.value.code == 0
    words = capsys.readouterr().out
    assert "mlflow run . -e serve -P task=digits -P port=5002 -P shadow=1" in words
    assert "-P model_uri=models:/digits@challenger -P shadowed=1000" in words
    assert len(models_of(champion_store, TASK)) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shadowed", "-1"], "shadowed must be a number of requests, at least 0, received -1."),
        (["--shadowed", "many"], "--shadowed: expected a whole number, received 'many'"),
        (["--to", "king"], "--to: invalid choice: 'king'"),
        (["--to", "challenger", "--shadowed", "5"], "shadowed is asked of what is to be the champion"),
    ],
)
def test_what_cannot_be_asked_is_told(
    options: list[str], message: str, store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(promote_step.parser(), promote_step.run, ["--task", "digits", *options])
    assert left.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert message in line
