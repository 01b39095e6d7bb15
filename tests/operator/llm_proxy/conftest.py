import pytest
from tests.operator.llm_proxy.world import KEY


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_LLM_KEY", KEY)


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries are random: here short ones."""
    monkeypatch.setattr("rloop_operator.llm_proxy.upstream.retries.FIRST_PAUSE", 0.01)
