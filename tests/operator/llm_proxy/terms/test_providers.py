"""The administrator's configuration: what is taken, and what is refused with file and field."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from rloop.errors import BadInput
from rloop_operator.llm_proxy.terms.providers import Provider, load, of_this_machine

GOOD: dict[str, Any] = {
    "providers": [
        {
            "name": "main",
            "url": "https://api.example.com/v1/",
            "auth": "Bearer",
            "keyFile": "/etc/rloop/llm/main/key",
            "namespaces": ["research-*"],
            "models": [
                {
                    "name": "small-1",
                    "contextTokens": 65536,
                    "maxOutputTokens": 8192,
                    "prices": {"input": "0.27", "cachedInput": "0.07", "output": "1.10"},
                    "fallback": ["small-0"],
                },
                {"name": "small-0"},
            ],
            "limits": {
                "tokensPerHour": 5_000_000,
                "costPerHour": "20",
                "tokensPerSession": 400_000,
                "costPerSession": "2",
            },
            "retry": {"totalSeconds": 120, "firstTokenSeconds": 90, "idleSeconds": 60},
        },
        {"name": "house", "url": "http://vllm.models:8000/v1", "models": [{"name": "org/big-7b"}]},
    ]
}


def written(folder: Path, document: object) -> Path:
    path = folder / "providers.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def changed(change: dict[str, Any], index: int = 0, **model: Any) -> dict[str, Any]:
    document = copy.deepcopy(GOOD)
    document["providers"][index]["models"][0] |= model
    document["providers"][index] |= change
    return document


def test_a_whole_configuration_is_read(tmp_path: Path) -> None:
    providers = load(written(tmp_path, GOOD))
    main, house = providers.providers
    assert main.url == "https://api.example.com/v1"
    assert (main.allows("research-a"), main.allows("other")) == (True, False)
    assert (house.allows("anything"), house.key_file) == (True, None)
    retry = house.retry
    assert (retry.total_seconds, retry.first_token_seconds, retry.idle_seconds) == (900, 300, 60)
    assert providers.find("house") is house
    assert providers.find("nobody") is None
    assert main.model("small-9") is None


@pytest.mark.parametrize(
    ("document", "field", "said"),
    [
        (changed({"url": "https://me:secret@api.example.com/v1"}), "providers[0].url", "contains credentials"),
        (changed({"url": "https://token@api.example.com/v1"}), "providers[0].url", "contains credentials"),
        (changed({"url": "https://api.example.com/v1?key=abc"}), "providers[0].url", "must not contain ? or #"),
        (changed({"url": "api.example.com/v1"}), "providers[0].url", "must begin with https://"),
        (changed({"url": "file:///etc/passwd"}), "providers[0].url", "must begin with https://"),
        (changed({"url": "https://api.example.com:port/v1"}), "providers[0].url", "port"),
        (changed({"key": "sk-123"}), "providers[0].key", "unknown field"),
        (changed({"keyEnv": "A"}), "providers[0]", "both keyFile and keyEnv"),
        (changed({"auth": "Basic"}), "providers[0].auth", "Bearer"),
        (changed({"name": "Main"}), "providers[0].name", "a-z"),
        (changed({"name": "main"}, 1), "document", '"main" occurs twice'),
        (changed({"namespaces": ["Research"]}), "providers[0].namespaces[0]", ""),
        (changed({"models": []}), "providers[0].models", ""),
        (changed({}, name="small-0"), "providers[0]", '"small-0" occurs twice'),
        (changed({}, fallback=["tiny"]), "providers[0]", 'falls back to "tiny"'),
        (changed({}, prices={"input": 0.27, "output": "1"}), "providers[0].models[0].prices.input", '"0.27"'),
        (changed({}, prices={"input": "-1", "output": "1"}), "providers[0].models[0].prices.input", "not negative"),
        (changed({}, prices={"input": "1"}), "providers[0].models[0].prices.output", "missing"),
        (changed({}, contextTokens="65536"), "providers[0].models[0].contextTokens", ""),
        (changed({"limits": {"costPerHour": 20}}), "providers[0].limits.costPerHour", '"20"'),
        (changed({"retry": {"totalSeconds": 0}}), "providers[0].retry.totalSeconds", ""),
        (changed({"name": "any"}), "providers", "would match every name"),
        (changed({}, name="any"), "providers", "would match every name"),
        ({"provider": []}, "provider", "did you mean providers"),
        ({}, "providers", "missing"),
    ],
)
def test_a_mistake_is_told_with_file_and_field_and_without_a_secret(
    tmp_path: Path, document: object, field: str, said: str
) -> None:
    path = written(tmp_path, document)
    with pytest.raises(BadInput) as caught:
        load(path)
    told = str(caught.value)
    assert f"{path}: {field}: " in told
    assert said in told
    assert "secret" not in told
    assert "Traceback" not in told


def test_a_file_that_is_no_yaml_is_told_by_name(tmp_path: Path) -> None:
    path = tmp_path / "providers.yaml"
    path.write_text("providers:\n\t- x")
    with pytest.raises(BadInput, match=r"providers\.yaml: .*tab"):
        load(path)


def test_on_a_laptop_a_named_file_comes_before_the_usual_one_and_that_before_two_variables(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".config/rloop").mkdir(parents=True)
    named = written(tmp_path, GOOD)
    variables = {"RLOOP_LLM_URL": "http://127.0.0.1:8000/v1", "RLOOP_LLM_KEY": "k"}

    def names(environment: dict[str, str]) -> list[str]:
        return [one.name for one in of_this_machine(environment, home).providers]

    assert names({}) == []
    assert names(variables) == ["any"]
    written(home / ".config/rloop", {"providers": GOOD["providers"][1:]})
    assert names(variables) == ["house"]
    assert names(variables | {"RLOOP_PROVIDERS": str(named)}) == ["main", "house"]
    with pytest.raises(BadInput, match="no such file"):
        names({"RLOOP_PROVIDERS": str(tmp_path / "missing.yaml")})


def test_two_variables_answer_to_every_provider_and_model(tmp_path: Path) -> None:
    found = of_this_machine({"RLOOP_LLM_URL": "http://127.0.0.1:8000/v1", "RLOOP_LLM_KEY": "k"}, tmp_path)
    one = found.find("whatever")
    assert one is not None
    model = one.model("some-model")
    assert model is not None
    assert (one.key_env, model.name, model.prices, model.context_tokens) == ("RLOOP_LLM_KEY", "some-model", None, None)
    keyless = of_this_machine({"RLOOP_LLM_URL": "http://127.0.0.1:8000/v1"}, tmp_path).find("x")
    assert isinstance(keyless, Provider)
    assert keyless.key_env is None
    with pytest.raises(BadInput, match="RLOOP_LLM_URL: contains credentials"):
        of_this_machine({"RLOOP_LLM_URL": "http://a:b@127.0.0.1/v1"}, tmp_path)
