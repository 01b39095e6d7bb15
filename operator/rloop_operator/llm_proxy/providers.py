"""The administrator's configuration: which providers there are, what they cost, who may use them and how much.

Read by `rloop run` and by the cluster's proxy through `load`; the chart writes the same form from its values. A key
never stands here: only the place where it is read from.
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
from rloop.api.problems import problems
from rloop.errors import BadInput, InputProblem
from rloop_operator.yaml_file import read_mapping

ANY = "any"
"""Name of the one provider that two environment variables describe; it answers to every name."""
NAMESPACE_GLOB = r"^[-a-z0-9*]+$"
Tokens = Annotated[int, Field(ge=1, le=1_000_000_000)]


def _base_url(url: str) -> str:
    """Without a slash at its end; it is the part that /chat/completions is put behind."""
    parts = urlsplit(url)
    try:
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is no URL: the port must be a number") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds credentials; take them out: a key belongs into keyFile, or RLOOP_LLM_KEY")
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("must begin with https:// (or http://) and a host, for example https://api.example.com/v1")
    if parts.query or parts.fragment:
        raise ValueError("has something behind ? or #; take it out: a key belongs into keyFile, or RLOOP_LLM_KEY")
    return url.rstrip("/")


class Prices(Model):
    """Money per million tokens. The currency is the administrator's; budget.cost is in the same."""

    input: Amount
    cached_input: Amount | None = None
    """Absent: as input."""
    output: Amount


class ModelSettings(Model):
    """One model of a provider."""

    name: Annotated[str, Field(min_length=1, max_length=256)]
    """As the provider spells it."""
    context_tokens: Tokens | None = None
    """What it can read and write in one call."""
    max_output_tokens: Tokens | None = None
    """What it can write in one call; a request that asks for no number gets this one."""
    prices: Prices | None = None
    """Absent: unknown. Then it cannot be used where a cost is limited."""
    fallback: Annotated[list[str], Field(max_length=8)] = []
    """Models of the same provider, tried in this order while this one does not answer."""


class Limits(Model):
    """Caps on each campaign that uses the provider; what is absent is not limited here."""

    tokens_per_hour: Tokens | None = None
    cost_per_hour: Amount | None = None
    tokens_per_session: Tokens | None = None
    cost_per_session: Amount | None = None


class Retry(Model):
    """How long a provider is waited for."""

    total_seconds: Seconds = 900
    """From a request's arrival to its last byte, with all tries."""
    first_token_seconds: Seconds = 300
    """Until a stream's first token, for each try: a model on CPUs reads a long prompt for minutes. An answer that is
    no stream comes as a whole, so only total_seconds limits it."""
    idle_seconds: Seconds = 60
    """Between two pieces of an answer that has begun."""


class Provider(Model):
    """An endpoint with its key, its prices and its rules."""

    name: DnsLabel
    url: Annotated[str, Field(max_length=2048), AfterValidator(_base_url)]
    """All that stands before /chat/completions; mostly it ends in /v1."""
    auth: Literal["Bearer", "XApiKey"] = "Bearer"
    """The header that carries the key: Authorization: Bearer KEY, or x-api-key: KEY."""
    key_file: PathText | None = None
    """Read at each call, so that a rotated Secret is picked up."""
    key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=256)] | None = None
    """For laptops. Neither: the endpoint wants no key."""
    namespaces: Annotated[list[Annotated[str, Field(pattern=NAMESPACE_GLOB, max_length=63)]], Field(max_length=64)] = [
        "*"
    ]
    """Whose campaigns may use it, as globs."""
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
        """Whether campaigns of this namespace may use it."""
        return any(fnmatchcase(namespace, glob) for glob in self.namespaces)

    def model(self, name: str) -> ModelSettings | None:
        """The model of that name; one that answers to every name has any, with unknown prices."""
        if self.name == ANY:
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
        """The provider of that name."""
        return next((one for one in self.providers if one.name in (name, ANY)), None)


def load(path: Path) -> Providers:
    """The providers in the file. Raises BadInput, naming file and field."""
    document = read_mapping(path)
    try:
        read = Providers.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        found = problems(error, document, Providers)
        raise BadInput(*(InputProblem(f"{path}: {one.field}", one.message) for one in found)) from None
    if any(one.name == ANY for one in read.providers):
        raise BadInput(InputProblem(f"{path}: providers", f'"{ANY}" would answer to every name; rename it'))
    return read


def of_this_machine(environment: Mapping[str, str], home: Path) -> Providers:
    """For `rloop run`: the file that RLOOP_PROVIDERS names, else that in the user's configuration, else RLOOP_LLM_URL.

    None of them: no provider. Raises BadInput.
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
        raise ValueError(f'{what}: "{twice}" stands twice; rename one')
