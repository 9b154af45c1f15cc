"""A challenger in the shadow of the gateway as `-e serve` starts it."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest
import requests
from mlflow import MlflowClient

from registry.shadow import ALIAS, Shadow, shadow_beside
from tests.gateways import Gateway
from tests.processes import processes_of
from tests.steps.test_serve import body, register, wait_until


def challengers(gateway: Gateway) -> list[psutil.Process]:
    return processes_of("serving.gateway.challenger", gateway.process.pid)


@pytest.mark.slow
def test_it_answers_what_the_champion_answers_and_the_registry_knows(
    champion_store: MlflowClient, tmp_path: Path
) -> None:
    """The challenger has the champion's files, so they agree in all."""
    register(champion_store, tmp_path / "twin", "", ALIAS)
    with Gateway(tmp_path, options=["--shadow", "1"]) as gateway:
        gateway.wait()
        wait_until(lambda: len(challengers(gateway)) == 1)
        for _ in range(50):
            reply = requests.post(f"{gateway.url}/predict", json=body(), timeout=5)
            assert (reply.status_code, reply.headers["X-Model-Version"]) == (200, "1")
        sample = 'model_shadow_items_total{outcome="agreed",version="2"} 50.0'
        wait_until(lambda: sample in requests.get(f"{gateway.url}/metrics", timeout=5).text)
        process = challengers(gateway)
        assert gateway.stop() == 0
        assert psutil.wait_procs(process, timeout=20)[1] == []
    assert shadow_beside(champion_store.get_model_version("digits", "2"), "1") == Shadow("1", agreed=50)


@pytest.mark.slow
def test_a_gateway_ends_also_while_its_challenger_hangs(champion_store: MlflowClient, tmp_path: Path) -> None:
    register(champion_store, tmp_path / "hangs", "import time; time.sleep(1000)", ALIAS)
    with Gateway(tmp_path, options=["--shadow", "1"]) as gateway:
        gateway.wait()
        wait_until(lambda: len(challengers(gateway)) == 1)
        assert requests.post(f"{gateway.url}/predict", json=body(), timeout=5).status_code == 200
        process = challengers(gateway)
        started = time.monotonic()
        assert gateway.stop() == 0
        assert time.monotonic() - started < 10
        assert psutil.wait_procs(process, timeout=20)[1] == []
    assert shadow_beside(champion_store.get_model_version("digits", "2"), "1").skipped == 1
