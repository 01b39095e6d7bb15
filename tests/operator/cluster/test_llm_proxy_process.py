"""The LLM proxy's process before it has anybody to speak to, and what it counts."""

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

from prometheus_client import generate_latest

from rloop_operator.cluster.telemetry import metrics
from rloop_operator.llm_proxy.app import Record
from rloop_operator.llm_proxy.terms.usage import Amount, Tokens


def test_a_wrong_configuration_ends_it_with_one_line_that_names_the_field(tmp_path: Path) -> None:
    file = tmp_path / "providers.yaml"
    file.write_text("providers: [{name: main, url: 'https://a:hidden@b/v1', models: [{name: m}]}]\n")
    done = subprocess.run(
        [sys.executable, "-m", "rloop_operator.cluster.llm_proxy"],
        env=os.environ | {"RLOOP_PROVIDERS": str(file)},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["detail"].startswith(f"{file}: providers[0].url: contains credentials")
    assert done.stderr == ""
    assert "hidden" not in done.stdout


def test_a_call_is_counted_by_provider_and_model() -> None:
    record = Record("p1", "m1", "answered", 1.5, Tokens(100, 40, 20), Amount(120, Decimal("0.5")))
    metrics.llm_call(record)
    shown = generate_latest(metrics.PROXY).decode()
    for line in (
        'rloop_llm_requests_total{code="answered",provider="p1"} 1.0',
        'rloop_llm_tokens_total{kind="cached",model="m1",provider="p1"} 40.0',
        'rloop_llm_charged_tokens_total{model="m1",provider="p1"} 120.0',
        'rloop_llm_cost_total{model="m1",provider="p1"} 0.5',
        'rloop_llm_request_seconds_bucket{le="2.0",model="m1",provider="p1"} 1.0',
    ):
        assert line in shown
