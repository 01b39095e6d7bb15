"""A proxy on the way to the API server: used where it is configured, and looked up once, not for each request."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml

from rloop_operator.cluster.kube import client

SERVER = "https://api.example.test:6443"
PROXY = "http://proxy.example.test:3128"
OTHER = "http://other.example.test:3128"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def kubeconfig(folder: Path, proxy: str = "") -> str:
    cluster = {"server": SERVER, "insecure-skip-tls-verify": True} | ({"proxy-url": proxy} if proxy else {})
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    path = folder / "config"
    path.write_text(yaml.safe_dump(document))
    return str(path)


@pytest.mark.parametrize(
    ("environment", "own", "expected"),
    [
        pytest.param({}, "", None, id="no proxy"),
        pytest.param({"HTTPS_PROXY": PROXY}, "", PROXY, id="HTTPS_PROXY"),
        pytest.param({"https_proxy": PROXY}, "", PROXY, id="https_proxy"),
        pytest.param({"ALL_PROXY": PROXY}, "", PROXY, id="ALL_PROXY"),
        pytest.param({"HTTP_PROXY": PROXY}, "", None, id="for another scheme"),
        pytest.param({"HTTPS_PROXY": PROXY, "NO_PROXY": "example.test"}, "", None, id="NO_PROXY"),
        pytest.param({"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, "", None, id="NO_PROXY of all"),
        pytest.param({"HTTPS_PROXY": PROXY, "NO_PROXY": "10.0.0.1"}, "", PROXY, id="NO_PROXY of others"),
        pytest.param({"HTTPS_PROXY": PROXY}, OTHER, OTHER, id="the kubeconfig's proxy-url comes first"),
        pytest.param({}, OTHER, OTHER, id="proxy-url alone"),
    ],
)
def test_the_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], own: str, expected: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    async def test() -> tuple[str | None, bool]:
        async with client.connected(kubeconfig(tmp_path, own)) as api:
            rest = api._api.rest_client
            session = rest._create_pool_manager()
            await session.close()
            return rest.proxy, session.trust_env

    assert asyncio.run(test()) == (expected, False)
