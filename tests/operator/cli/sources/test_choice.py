"""Which campaign is meant: by --dir, by name, or in a cluster; and what is said where no cluster can be reached."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.operator.cli.conftest import write

from rloop import names
from rloop_operator.cli.sources.snapshot import within
from rloop_operator.local.storage.layout import RunFolder

Rloop = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        pytest.param("kuhn", ("kuhn", None), id="a campaign"),
        pytest.param("kuhn-i0004-e2", ("kuhn", "i0004-e2"), id="an experiment of it"),
        pytest.param("kuhn-b01-r3-a1", ("kuhn", "b01-r3-a1"), id="an attempt at the baseline"),
        pytest.param("kuhn-big", ("kuhn-big", None), id="another one with a longer name"),
        pytest.param("kuhn-big-i0001-s1", ("kuhn-big", "i0001-s1"), id="a session of that"),
        pytest.param("kuhn-other", None, id="only the beginning is equal"),
        pytest.param("i0004-e2", None, id="a short name tells no campaign"),
    ],
)
def test_a_name_tells_its_campaign(name: str, found: tuple[str, str | None] | None) -> None:
    assert within(name, ["kuhn", "kuhn-big"]) == found


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["status", "demo"], "campaign     demo", id="a run by its campaign's name"),
        pytest.param(["experiments", "demo"], "b01", id="all experiments of it"),
        pytest.param(
            ["experiments", "demo-i0001-e1"], "experiment   demo-i0001-e1", id="the full name of an experiment"
        ),
        pytest.param(["experiments", "i0001-e1"], "experiment   demo-i0001-e1", id="one by its short name"),
        pytest.param(["directions", "demo", "--dir", "runs/größe of a run"], "i0001-d1", id="with both"),
    ],
)
def test_a_run_on_this_machine(rloop: Rloop, layout: RunFolder, arguments: list[str], told: str) -> None:
    done = rloop(*arguments)
    assert done.returncode == 0, done.stderr
    assert told in done.stdout


def test_two_runs_of_one_campaign_are_listed(rloop: Rloop, layout: RunFolder, tmp_path: Path) -> None:
    write(tmp_path / "runs" / "again")
    done = rloop("status", "demo")
    assert done.returncode == 2
    assert 'there are 2 runs of "demo"; select one' in done.stderr
    assert str(tmp_path / "runs" / "again") in done.stderr


def kubeconfig(folder: Path, server: str = "https://127.0.0.1:1") -> Path:
    """A kubeconfig for a server that nobody runs."""
    context = {"cluster": "far", "user": "me", "namespace": "mine"}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "far",
        "clusters": [{"name": "far", "cluster": {"server": server}}],
        "contexts": [{"name": "far", "context": context}],
        "users": [{"name": "me", "user": {"token": "none"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(
            ["status", "-n", "x", "--dir", "runs/x"], "--dir: selects a run folder on this machine", id="both"
        ),
        pytest.param(["status", "other", "--dir", "{run}"], 'is "demo", not "other"', id="another one's folder"),
        pytest.param(["status", "-n", "x"], "no cluster is configured: there is no kubeconfig", id="no kubeconfig"),
        pytest.param(
            ["status", "other"],
            '" or its "runs": use demo, or give its folder with --dir. If you mean a ResearchLoop in a cluster: ',
            id="nowhere",
        ),
        pytest.param(
            ["status", "demmo"], ": did you mean demo? Otherwise give its folder with --dir. If you mean", id="misspelt"
        ),
        pytest.param(["logs", "demmo"], 'there is no log of "demmo"; did you mean demo?', id="misspelt, with parts"),
        pytest.param(["status", "demo-i0001-e1"], ": that is an object of demo, and this command", id="an object"),
        pytest.param(["status", "--kubeconfig", "{broken}"], "cannot be used", id="no YAML in it"),
        pytest.param(["status", "--kubeconfig", "{empty}"], "cannot be used", id="nothing in it"),
        pytest.param(
            ["status", "--kubeconfig", "{config}", "--context", "near"], 'the context "near" of', id="no such context"
        ),
        pytest.param(
            ["pivot", "--kubeconfig", "{config}"],
            "the API server https://127.0.0.1:1 cannot be reached (ClientConnectorError)",
            id="nobody answers",
        ),
    ],
)
def test_what_is_wrong_is_one_line_with_its_remedy(
    rloop: Rloop, layout: RunFolder, tmp_path: Path, arguments: list[str], told: str
) -> None:
    (tmp_path / "broken").write_text("a: [")
    (tmp_path / "empty").write_text("")
    places = {"run": layout.root, "config": kubeconfig(tmp_path), "broken": tmp_path / "broken"}
    places["empty"] = tmp_path / "empty"
    done = rloop(*(one.format(**places) for one in arguments), KUBECONFIG=str(tmp_path / "none"))
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stdout == ""


def test_where_nothing_was_started_the_cluster_comes_second(rloop: Rloop, tmp_path: Path) -> None:
    done = rloop("status", "centre", KUBECONFIG=str(tmp_path / "none"))
    assert done.returncode == 2
    told = f'rloop: there is no run of "centre" in "{tmp_path}" or its "runs": start one with rloop run LOOP.yaml, or '
    assert done.stderr.startswith(told)
    assert "no cluster is configured" in done.stderr


def test_as_kubectl_rloop_it_is_always_the_cluster(layout: RunFolder, tmp_path: Path) -> None:
    program = [sys.executable, "-c", "from rloop_operator.cli.main import kubectl; kubectl()"]

    def call(*arguments: str) -> str:
        env = {"KUBECONFIG": str(tmp_path / "none"), "LANG": "C.UTF-8"}
        done = subprocess.run(
            [*program, *arguments], cwd=tmp_path, env=env, check=False, capture_output=True, text=True
        )
        assert done.returncode == 2
        return done.stderr

    assert "no cluster is configured" in call("status", "demo")
    assert "which kubectl rloop cannot use" in call("status", "--dir", str(layout.root))
    assert "kubectl apply -f" in call("run", "loop.yaml")


def test_the_way_to_a_cluster_loads_neither_kopf_nor_scipy() -> None:
    code = (
        "import sys, rloop_operator.cli.sources.cluster, rloop_operator.cli.commands.steering\n"
        "heavy = {'scipy', 'numpy', 'kopf', 'uvicorn', 'starlette', 'rapidfuzz', 'rloop.decide'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "HEAVY []" in done.stdout


def test_without_the_kubernetes_library_the_remedy_is_told(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['kubernetes'] = None\n"  # as where the base install is all there is
        "from rloop_operator.cli.main import kubectl\n"
        "sys.argv[1:] = ['status']\n"
        "kubectl()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert ": run make cli in the checkout, which installs it\n" in done.stderr


@given(st.permutations(["kuhn", "kuhn-b01", "kuhn-i0001", "kuhn-big", "kuhn-b01-b01"]))
def test_an_object_is_never_taken_for_another_campaigns(loops: list[str]) -> None:
    for loop in loops:
        session = names.session(names.iteration(loop, 1), 2)
        made = names.experiment(session, 3)
        for name in (names.iteration(loop, 2), session, made, names.attempt(made, 1, 2), names.agent(session, 1)):
            found = within(name, loops)
            assert found == (loop, name.removeprefix(f"{loop}-"))
        baseline = names.baseline(loop)
        assert within(baseline, loops) in ((loop, "b01"), (baseline, None))
