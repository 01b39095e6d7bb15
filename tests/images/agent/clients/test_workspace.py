"""What a client reads about its session: nothing in it names a tool that the client lacks, or a limit of others."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.agent_gateway import Server

from rloop.api.session_context import Context, HandoffView, RunView
from rloop_agent.clients import tools_server
from rloop_agent.clients.workspace import NAMES, PROMPT, lay_out
from rloop_agent.llm import roles
from rloop_agent.llm.tools import registry
from rloop_agent.testing import SESSION

ALL_TOOLS = {*registry.TOOLS, *registry.CHECKING, *registry.REPORTING}
ROLES = [*roles.ROLES, *roles.CLOSING]


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


def context_of(server: Server, role: str) -> Context:
    """A context in which every part of a brief stands."""
    given = server.gateway.given
    return given.changed(
        session=given.session.changed(role=role),
        demand="Pivot",
        run=RunView(command=["python3", "train.py"], seconds=60),
        references=3,
        left_out=["5 older results"],
        handoff=HandoffView(session="demo-i0001-s1", text="look at the rates", drafts={"a.txt": "x"}),
    )


def read_by_a_client(server: Server, folder: Path, role: str) -> tuple[str, tools_server.Session]:
    """All text that the client is given at its start, and its session."""
    server.gateway.given = context_of(server, role)
    lay_out(folder, server.gateway.given, server.gateway.task())
    session = tools_server.Session(server.gateway, folder)
    files = [(folder / name).read_text() for name in (*NAMES, PROMPT)]
    return "\n".join([*files, roles.rules(role), json.dumps(session.tools)]), session


@pytest.mark.parametrize("role", ROLES)
def test_only_the_clients_own_tools_are_named(server: Server, tmp_path: Path, role: str) -> None:
    told, session = read_by_a_client(server, tmp_path, role)
    named = {name for name in ALL_TOOLS if "_" in name and re.search(rf"\b{name}\b", told)}
    assert named <= set(session.tools), "a tool that this client does not have"
    assert "finish" in session.tools
    assert not re.search(r"\brounds?\b", told, re.IGNORECASE), "only the built-in agent counts rounds"
    assert ("Your copy of the task" in told) is (role not in roles.CLOSING)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("set_values", {"values": {"rate": 0.5}}),
        ("set_values", {"values": {"nosuch": 1}}),
        ("submit_experiment", {"title": "t"}),
        ("finish", {"handoff": "x", "drafts": ["nosuch.py"]}),
        ("read_experiment", {"name": "nosuch"}),
        ("record_finding", {"statement": "s", "evidence": []}),
        ("reset_files", {"paths": ["nosuch"]}),
    ],
)
@pytest.mark.parametrize("recipe", [None, "no JSON {", "x" * 2_500_000], ids=["right", "broken", "too large"])
def test_a_result_sends_a_client_to_no_tool_that_it_lacks(
    server: Server, tmp_path: Path, name: str, arguments: dict[str, object], recipe: str | None
) -> None:
    _, session = read_by_a_client(server, tmp_path, "Investigate")
    if recipe is not None:
        (tmp_path / "task/recipe.json").write_text(recipe)
    told = session.call(name, arguments)
    assert SESSION not in told
    assert not {one for one in tools_server.THE_CLIENTS_OWN if one in told}, told


def test_the_built_in_agent_is_told_of_its_rounds() -> None:
    assert all(roles.ROUNDS in roles.system(role) for role in ROLES)
