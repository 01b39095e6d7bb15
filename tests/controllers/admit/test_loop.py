"""What is not built yet is refused by name, and what is frozen stays."""

from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from tests.support.builders import condition

from rloop.admit.advice import RUNS_OF_A_CONCLUSION, RUNS_OF_A_KEEP, advice
from rloop.admit.loop import Shell, changed_frozen_fields, unsupported
from rloop.api.researchloop import ResearchLoop
from rloop.decide.research.conclusion import FINAL_RUNS
from rloop.decide.statistics.acceptance import procedure

GOOD: dict[str, Any] = yaml.safe_load((Path(__file__).parents[1] / "manifests/good.yaml").read_text())


def loop(**changes: Any) -> ResearchLoop:
    """The good loop with parts of its spec changed; None removes."""
    spec = dict(GOOD["spec"])
    for part, change in changes.items():
        merged = spec.get(part, {}) | change if isinstance(change, dict) else change
        spec[part] = {k: v for k, v in merged.items() if v is not None} if isinstance(merged, dict) else merged
    return ResearchLoop.model_validate({**GOOD, "spec": spec}, by_alias=True, by_name=False)


def test_what_is_built_is_let_in() -> None:
    assert unsupported(loop(), "local") == []
    for acceptance in ("Standard", "Economy", "Provisional"):
        for policy in ("random-search", "coordinate-search", "tpe", "cma-es"):
            chosen = loop(evaluation={"acceptance": acceptance}, agent={"policy": {"name": policy}})
            assert unsupported(chosen, "local") == []


def test_a_kind_of_job_that_is_not_built_is_told_with_the_nearest() -> None:
    problems = unsupported(loop(experiment={"job": None, "trainJob": {"runtimeRef": "t"}}), "cluster")
    (told,) = [one.message for one in problems if one.field == "spec.experiment.trainJob"]
    assert "use pyTorchJob" in told


@pytest.mark.parametrize("shell", ["local", "cluster"])
@pytest.mark.parametrize("source", [{"git": {"url": "u", "ref": "main"}}, {"image": {"reference": "r", "path": "/t"}}])
def test_a_source_of_tasks_that_no_shell_has_is_refused_by_each(shell: Shell, source: dict[str, Any]) -> None:
    """The operator of a cluster trusts that it is, and said of it "unexpected"."""
    problems = unsupported(loop(task={"path": None, **source}), shell)
    (told,) = [one.message for one in problems if one.field.startswith("spec.task")]
    assert told == "not supported yet: use path, or in a cluster configMap (rloop pack writes it)"


VOLUME = {"name": "data", "mountPath": "/data", "path": "./data"}
CLAIM = {"name": "data", "persistentVolumeClaim": "weights"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"task": {"path": None, "git": {"url": "u", "ref": "main"}}}, "spec.task.git"),
        ({"task": {"path": None, "image": {"reference": "r", "path": "/t"}}}, "spec.task.image"),
        ({"task": {"path": None, "configMap": {"name": "t"}}}, "spec.task.configMap"),
        ({"evaluation": {"code": {"configMap": {"name": "e"}}}}, "spec.evaluation.code.configMap"),
        ({"evaluation": {"heldOut": {"secret": "s"}}}, "spec.evaluation.heldOut"),
        ({"evaluation": {"comparison": "Paired"}}, "spec.evaluation.comparison"),
        ({"evaluation": {"candidate": {"command": ["a"], "port": 80}}}, "spec.evaluation.candidate"),
        ({"evaluation": {"volumes": [VOLUME]}}, "spec.evaluation.volumes"),
        ({"experiment": {"job": None, "trainJob": {"runtimeRef": "t"}}}, "spec.experiment.trainJob"),
        ({"experiment": {"volumes": [VOLUME]}}, "spec.experiment.volumes"),
        ({"agent": {"policy": None, "image": "i"}}, "spec.agent.command"),
        ({"agent": {"policy": {"name": "best-first"}}}, "spec.agent.policy.name"),
        ({"agent": {"policy": {"name": "evolutionary"}}}, "spec.agent.policy.name"),
        ({"agent": {"explorers": ["Investigate", "Refute"]}}, "spec.agent.explorers"),
        ({"agent": {"references": {"path": "./papers"}}}, "spec.agent.references"),
        (
            {"agent": {"policy": None, "image": "i", "command": ["a"], "references": {"configMap": {"name": "p"}}}},
            "spec.agent.references.configMap",
        ),
        (
            {"objective": {"mode": "Measure", "design": {"factors": {"a": ["1", "2"]}}}},
            "spec.objective.mode",
        ),
        ({"agent": {"resources": {"limits": {"nvidia.com/gpu": 1}}}}, "spec.agent.resources"),
        ({"budget": {"tokens": 5}}, "spec.budget.tokens"),
        ({"budget": {"cost": "5"}}, "spec.budget.cost"),
        ({"budget": {"gpuSeconds": 5}, "experiment": {"resources": {"limits": {"cpu": 1}}}}, "spec.budget.gpuSeconds"),
        ({"historyLimit": 10}, "spec.historyLimit"),
        ({"ttlSecondsAfterFinished": 0}, "spec.ttlSecondsAfterFinished"),
    ],
)
def test_what_is_not_built_says_what_to_use(changes: dict[str, Any], field: str) -> None:
    (problem,) = unsupported(loop(**changes), "local")
    assert problem.field == field
    assert any(
        word in problem.message for word in ("use ", "keep ", "has to ", "omit ", "request ", "set the command to run")
    )


def test_an_agent_of_the_users_own_is_let_in_and_only_a_cluster_starts_its_image() -> None:
    own = {"policy": None, "image": "registry.example/agent:1"}
    assert unsupported(loop(agent=own | {"command": ["a"]}), "local") == []
    llm = {"llm": {"provider": "main", "model": "small-1"}}
    assert unsupported(loop(agent=own | llm | {"command": ["a"]}, budget={"tokens": 5}), "local") == []
    for agent in (own, own | {"command": ["a"]}):
        told = [one.field for one in unsupported(loop(agent=agent), "cluster")]
        assert not any(field.startswith("spec.agent") for field in told)


def test_a_cluster_reads_no_folder_of_a_laptop() -> None:
    fields = [problem.field for problem in unsupported(loop(experiment={"image": "i"}), "cluster")]
    assert fields == ["spec.task.path", "spec.evaluation.code.path", "spec.evaluation.heldOut.path"]
    assert "spec.experiment.image" in [problem.field for problem in unsupported(loop(), "cluster")]


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"resources": {"limits": {"nvidia.com/gpu": "500m"}}}, "spec.experiment.resources.limits", "a whole number"),
        ({"volumes": [VOLUME | {"path": "./data"}]}, "spec.experiment.volumes[0].path", "use persistentVolumeClaim"),
        ({"volumes": [CLAIM | {"mountPath": "data"}]}, "spec.experiment.volumes[0].mountPath", "an absolute path"),
        ({"volumes": [CLAIM | {"mountPath": "/task/data"}]}, "spec.experiment.volumes[0].mountPath", "not below"),
    ],
)
def test_what_a_pod_cannot_have_is_refused_by_name(changes: dict[str, Any], field: str, words: str) -> None:
    found = {one.field: one.message for one in unsupported(loop(experiment=changes), "cluster")}
    assert words in found[field]


@pytest.mark.parametrize(("length", "refused"), [(33, False), (34, True)])
def test_workers_of_a_pytorchjob_have_longer_names_than_its_pods(length: int, refused: bool) -> None:
    job = {"job": None, "pyTorchJob": {"replicas": 2}}
    for experiment, shell, expected in ((job, "cluster", refused), (job, "local", False), ({}, "cluster", False)):
        made = loop(experiment=experiment)
        named = made.model_copy(update={"metadata": made.metadata.model_copy(update={"name": "n" * length})})
        assert ("metadata.name" in [one.field for one in unsupported(named, cast(Shell, shell))]) is expected


@pytest.mark.parametrize("shell", ["local", "cluster"])
def test_a_campaign_without_an_end_is_warned_of(shell: Shell) -> None:
    endless = loop(objective={"target": None}, budget={"runs": None, "activeSeconds": None})
    assert "spec.budget" in [problem.field for problem in advice(endless, shell)]


def test_a_laptop_warns_of_what_it_does_not_share_out() -> None:
    sized = loop(experiment={"maxArtifactBytes": 2**33})
    assert [problem.field for problem in advice(sized, "local")] == ["spec.experiment.resources"]
    assert advice(sized, "cluster") == []


EIGHT = {"job": None, "pyTorchJob": {"replicas": 2, "procPerNode": 8}, "resources": {"limits": {"nvidia.com/gpu": 8}}}


@pytest.mark.parametrize(
    ("experiment", "gpu_seconds", "field", "words"),
    [
        ({}, None, "", ""),
        ({"activeDeadlineSeconds": 100, "progressDeadlineSeconds": 99}, 1600, "", ""),
        (
            {"activeDeadlineSeconds": 100, "progressDeadlineSeconds": 99},
            1599,
            "spec.budget.gpuSeconds",
            "reserves 1600",
        ),
        (
            {"activeDeadlineSeconds": 600},
            None,
            "spec.experiment.progressDeadlineSeconds",
            "600 never pass: activeDeadlineSeconds ends an attempt after 600",
        ),
        (
            {"pyTorchJob": {"replicas": 2}},
            None,
            "spec.experiment.pyTorchJob.procPerNode",
            "is 1, and a pod has 8 GPUs; for one GPU per rank write 8",
        ),
        ({"pyTorchJob": {"replicas": 2}, "command": ["/opt/bin/torchrun", "train.py"]}, None, "", ""),
        ({"maxArtifactBytes": None}, None, "spec.experiment.maxArtifactBytes", "the default of 1 GiB applies"),
        (
            {"maxArtifactBytes": None, "pyTorchJob": {"procPerNode": 4}, "resources": {"limits": {"cpu": 4}}},
            None,
            "",
            "",
        ),
    ],
)
def test_what_holds_gpus_for_nothing_is_warned_of(
    experiment: dict[str, Any], gpu_seconds: int | None, field: str, words: str
) -> None:
    asked = loop(experiment=EIGHT | {"maxArtifactBytes": 2**33} | experiment, budget={"gpuSeconds": gpu_seconds})
    told = [(one.field, one.message) for one in advice(asked, "cluster")]
    assert [one for one, _ in told] == ([field] if field else [])
    assert all(words in message for _, message in told)


@pytest.mark.parametrize(
    ("runs", "acceptance", "target", "words"),
    [
        (4, "Standard", "0.05", "too few even for the baseline, and to keep a proposal, which needs at least 20"),
        (14, "Standard", "0.05", "too few to keep a proposal, which needs at least 20"),
        (19, "Standard", "0.05", "too few to confirm the target, which needs at least 20"),
        (20, "Standard", "0.05", ""),
        (15, "Standard", None, ""),
        (10, "Economy", None, ""),
        (6, "Provisional", "0.05", ""),
    ],
)
def test_a_budget_that_is_too_small_is_warned_of(runs: int, acceptance: str, target: str | None, words: str) -> None:
    parts: dict[str, Any] = {"evaluation": {"acceptance": acceptance}, "objective": {"target": target}}
    tight = loop(budget={"runs": runs}, experiment={"maxArtifactBytes": 2**33}, **parts)
    told = [problem.message for problem in advice(tight, "cluster")]
    assert told == [] if not words else words in told[0]


def test_what_is_told_of_runs_is_what_the_decisions_take() -> None:
    for acceptance, runs in RUNS_OF_A_KEEP.items():
        assert runs == 1 + procedure(acceptance, 0.01).post_screen_runs  # type: ignore[arg-type]
    assert RUNS_OF_A_CONCLUSION == FINAL_RUNS


def test_a_moved_goalpost_is_named() -> None:
    changed = loop(
        objective={"target": "0.5"},
        evaluation={"repeats": 1},
        task={"path": "./other"},
        experiment={"command": ["python3", "other.py"]},
    )
    problems = changed_frozen_fields(loop(), changed)
    assert [problem.field for problem in problems] == [
        "spec.objective.target",
        "spec.task.path",
        "spec.evaluation.repeats",
        "spec.experiment.command",
    ]
    assert "'0.05', now '0.5'" in problems[0].message
    assert "put the old value back" in problems[0].message
    failed = loop().changed(status=loop().status.changed(conditions=[condition("Failed")]))
    assert "that campaign has ended: start a new one" in changed_frozen_fields(failed, changed)[0].message


def test_the_rest_stays_editable() -> None:
    edited = loop(
        direction="Try something else.",
        budget={"runs": 9},
        parallelism=1,
        stall={"pivotAfter": 3},
        suspend=True,
        agent={"policy": {"name": "coordinate-search"}},
        experiment={"backoffLimit": 0},
    )
    assert changed_frozen_fields(loop(), edited) == []
