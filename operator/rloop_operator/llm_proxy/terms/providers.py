"""The administrator's configuration: the providers, their prices, and who may use them and how much.

Read by `load`, for `rloop run` and for the cluster's proxy; the chart renders the same form from its values. It never
contains a key, only the location from which it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError, model_validator

from rloop.api.common import Amount, DnsLabel, Model, Seconds
from rloop.api.common import Path as PathText
from rloop.api.reading.problems import problems
from rloop.api.researchloop import ResearchLoop
from rloop.errors import BadInput, InputProblem
from rloop_operator.user_files.yaml_file import read_mapping

ANY = "any"
"""Name of the single provider that is configured by environment variables, and of its model: they match every name."""
NAMESPACE_GLOB = r"^[-a-z0-9*]+$"
Tokens = Annotated[int, Field(ge=1, le=1_000_000_000)]


def _base_url(url: str) -> str:
    """The URL without a trailing slash: /chat/completions is appended to it."""
    parts = urlsplit(url)
    try:
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not a URL: the port must be a number") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("contains credentials; remove them: keys belong in keyFile or RLOOP_LLM_KEY")
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("must begin with https:// (or http://) and a host, for example https://api.example.com/v1")
    if parts.query or parts.fragment:
        raise ValueError("must not contain ? or #; remove that part: keys belong in keyFile or RLOOP_LLM_KEY")
    return url.rstrip("/")


class Prices(Model):
    """Prices per million tokens, in the administrator's currency, which is also that of budget.cost."""

    input: Amount
    cached_input: Amount | None = None
    """Price of input from the provider's cache. Unset: same as input."""
    output: Amount


class ModelSettings(Model):
    """One model of a provider."""

    name: Annotated[str, Field(min_length=1, max_length=256)]
    """Name of the model as the provider spells it."""
    context_tokens: Tokens | None = None
    """Tokens of input and output that fit into one call."""
    max_output_tokens: Tokens | None = None
    """Maximum output tokens of one call; the default limit of requests that set none."""
    prices: Prices | None = None
    """Prices of the model. Unset: unknown, and the model cannot be used if a cost is limited."""
    fallback: Annotated[list[str], Field(max_length=8)] = []
    """Models of the same provider that are tried in this order if this one fails."""


class Limits(Model):
    """Caps for each campaign that uses the provider; an unset cap is unlimited."""

    tokens_per_hour: Tokens | None = None
    cost_per_hour: Amount | None = None
    tokens_per_session: Tokens | None = None
    cost_per_session: Amount | None = None


class Retry(Model):
    """Timeouts for calls of a provider."""

    total_seconds: Seconds = 900
    """Seconds from the arrival of a request to its last byte, including all attempts (default 900)."""
    first_token_seconds: Seconds = 300
    """Seconds of one attempt until the first token of a stream (default 300): a model on CPUs reads a long prompt for
    minutes. A response without a stream arrives as a whole, so only total_seconds limits it.
    """
    idle_seconds: Seconds = 60
    """Seconds between two pieces of an answer that has begun (default 60)."""


class Provider(Model):
    """An endpoint with its key, its prices and its rules."""

    name: DnsLabel
    url: Annotated[str, Field(max_length=2048), AfterValidator(_base_url)]
    """Base URL, to which /chat/completions is appended; usually it ends with /v1."""
    auth: Literal["Bearer", "XApiKey"] = "Bearer"
    """Header that contains the key: Authorization: Bearer KEY, or x-api-key: KEY."""
    key_file: PathText | None = None
    """File with the key. It is read for each call, so that a rotated Secret is picked up."""
    key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=256)] | None = None
    """Environment variable with the key, for laptops. Neither of the two set: the endpoint needs no key."""
    namespaces: Annotated[list[Annotated[str, Field(pattern=NAMESPACE_GLOB, max_length=63)]], Field(max_length=64)] = [
        "*"
    ]
    """Globs of the namespaces whose campaigns may use it (default: all)."""
    models: Annotated[list[ModelSettings], Field(min_length=1, max_length=64)]
    limits: Limits = Limits()
    retry: Retry = Retry()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.key_file is not None and self.key_env is not None:
            raise ValueError("has both keyFile and keyEnv; remove one")
        known = [model.name for model in self.models]
        _unique("models", known)
        for model in self.models:
            for name in model.fallback:
                if name not in known:
                    raise ValueError(f'model "{model.name}" falls back to "{name}", which is not in models; add it')
        return self

    def allows(self, namespace: str) -> bool:
        """Whether campaigns in this namespace may use the provider."""
        return any(fnmatchcase(namespace, glob) for glob in self.namespaces)

    def caps_cost(self, loop: ResearchLoop) -> bool:
        """Whether the cost of the campaign's calls is limited, so that the prices of its model must be known."""
        money = (loop.spec.budget.cost, self.limits.cost_per_hour, self.limits.cost_per_session)
        return any(one is not None for one in money)

    def model(self, name: str) -> ModelSettings | None:
        """The model of that name, or None. The model ANY stands for every model, with unknown prices."""
        if any(model.name == ANY for model in self.models):
            return ModelSettings(name=name)
        return next((model for model in self.models if model.name == name), None)


class Providers(Model):
    """All providers."""

    providers: Annotated[list[Provider], Field(max_length=64)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _unique("providers", [one.name for one in self.providers])
        return self

    def find(self, name: str) -> Provider | None:
        """The provider of that name, or None. One that matches every name has the name by which it is asked for."""
        found = next((one for one in self.providers if one.name in (name, ANY)), None)
        return found if found is None or found.name == name else found.changed(name=name)


def load(path: Path) -> Providers:
    """The providers in the file. Raises BadInput, which names file and field."""
    document = read_mapping(path)
    try:
        read = Providers.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        found = problems(error, document, Providers)
        raise BadInput(*(InputProblem(f"{path}: {one.field}", one.message) for one in found)) from None
    if any(ANY in (one.name, *(model.name for model in one.models)) for one in read.providers):
        raise BadInput(InputProblem(f"{path}: providers", f'"{ANY}" would match every name; rename it'))
    return read


def of_this_machine(environment: Mapping[str, str], home: Path) -> Providers:
    """For `rloop run`: the file named by RLOOP_PROVIDERS, else the user's providers.yaml, else RLOOP_LLM_URL.

    Without any of them no provider is configured. Raises BadInput.
    """
    named = environment.get("RLOOP_PROVIDERS")
    if named:
        return load(Path(named))
    usual = home / ".config/rloop/providers.yaml"
    if usual.is_file():
        return load(usual)
    url = environment.get("RLOOP_LLM_URL")
    if not url:
        return Providers(providers=[])
    key_env = "RLOOP_LLM_KEY" if environment.get("RLOOP_LLM_KEY") else None
    try:
        one = Provider(name=ANY, url=url, key_env=key_env, models=[ModelSettings(name=ANY)])
    except ValidationError as error:
        found = problems(error, {"url": url}, Provider)
        raise BadInput(*(InputProblem("RLOOP_LLM_URL", one.message) for one in found)) from None
    return Providers(providers=[one])


def _unique(what: str, names: list[str]) -> None:
    twice = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if twice is not None:
        raise ValueError(f'{what}: "{twice}" occurs twice; rename one')
