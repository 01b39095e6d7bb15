"""Build the shim's spec.json of a workload, by role.

Called by `runtime`, which writes it. The builders are pure, so that the environment of a workload can be read
(and tested) in one place. Of the operator's own environment only the variables in `INHERITED` are passed on,
besides PATH and XDG_CACHE_HOME.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from rloop import names
from rloop.actions import Workload
from rloop.api.agent import AgentEnvVar
from rloop.api.helpers import VerifierJob
from rloop.api.loop_status import SealedTask
from rloop.api.researchloop import ResearchLoop
from rloop_operator.local.storage.layout import RunFolder
from rloop_operator.local.workloads.processes import COOKIE
from rloop_operator.user_files.commands import beside

INHERITED = (
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "CUDA_HOME",
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "SSL_CERT_FILE",
    "HF_HOME",
)
"""Variables that describe the setup of this machine and nothing about its user."""
GRACE_SECONDS = 5
"""Seconds between SIGTERM and SIGKILL for agents and verifiers."""
LONGEST_TMPDIR = 60
"""Maximum bytes of TMPDIR. A socket path is limited to 104 to 108 bytes, and torch and multiprocessing create theirs
some levels below TMPDIR.
"""

_TMP = Path("/tmp")  # noqa: S108 - each folder in it has mode 0700
Spec = dict[str, Any]


def _base(folder: Path, workload: Workload, grace_seconds: int, threads: int) -> Spec:
    """The part of the spec that all roles share."""
    home = folder / "home"
    temporary = folder / "tmp"
    short = len(os.fsencode(temporary)) > LONGEST_TMPDIR
    if short:
        # Derived from the folder's path, so that `remove` can delete it if the shim did not.
        temporary = short_tmpdir(folder)
    # Our Python's folder last: a command like python3 means the user's own, and ours only if the user has none.
    path = os.pathsep.join(filter(None, [os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)]))
    env = {name: os.environ[name] for name in INHERITED if name in os.environ}
    env.setdefault("LANG", "C.UTF-8")
    env |= {"PATH": path, "HOME": str(home), "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"}
    # Parallel runs on one machine must not compete for its cores, and their timings must be comparable.
    env |= dict.fromkeys(names.THREAD_VARIABLES, str(threads))
    env[COOKIE] = uuid4().hex
    return {
        "name": workload.name,
        "cwd": str(home),
        "env": env,
        "deadline_seconds": workload.deadline_seconds,
        "grace_seconds": grace_seconds,
        "folders": [str(home), *([] if short else [str(temporary)])],
        "temporary": [str(temporary)] if short else [],
    }


def short_tmpdir(folder: Path) -> Path:
    """A TMPDIR outside the run folder, for run folders with long paths."""
    return _TMP / f"{_tmp_prefix(folder.parent)}{sha256(os.fsencode(folder.name)).hexdigest()[:8]}"


def short_tmpdirs(workloads: Path) -> list[Path]:
    """All existing short TMPDIRs of a run folder's `workloads`, including those of removed workloads."""
    return list(_TMP.glob(f"{_tmp_prefix(workloads)}*"))


def _tmp_prefix(workloads: Path) -> str:
    return f"rloop-{os.getuid()}-{sha256(os.fsencode(workloads)).hexdigest()[:12]}-"


def run_spec(layout: RunFolder, loop: ResearchLoop, workload: Workload, master_port: int) -> Spec:
    """The spec of an experiment's run, as defined by the task contract."""
    folder = layout.workload(workload.name)
    template = loop.spec.experiment
    artifacts = layout.artifacts(workload.owner, workload.run)
    checkpoints = layout.checkpoints(workload.owner, workload.run)
    spec = _base(folder, workload, template.grace_period_seconds, template.threads)
    spec["env"] |= {variable.name: variable.value for variable in template.env} | {
        "RLOOP_SEED": str(workload.seed),
        "RLOOP_ARTIFACTS": str(artifacts),
        "RLOOP_CHECKPOINTS": str(checkpoints),
        "RLOOP_EXPERIMENT": workload.owner,
        "RLOOP_ATTEMPT": str(workload.number),
        # A shared cache, so that not every run downloads a model or prepares a warm start again.
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"),
    }
    if workload.kind == "smoke":
        spec["env"]["RLOOP_SMOKE"] = "1"
    if template.cpu_seconds is not None:
        spec["env"]["RLOOP_CPU_SECONDS"] = str(template.cpu_seconds)
    job = template.py_torch_job
    return spec | {
        "command": template.command,
        "preflight": template.preflight,
        # The preflight is no rank, but must know the number of ranks.
        "preflight_env": {} if job is None else {"WORLD_SIZE": str(job.ranks)},
        "cwd": str(folder / "task"),
        "cpu_seconds": template.cpu_seconds,
        # Emptied, so that artifacts of an earlier attempt are not scored as those of this one.
        "fresh": [str(artifacts)],
        "folders": [*spec["folders"], str(checkpoints)],
        "artifacts": str(artifacts),
        "max_artifact_bytes": template.max_artifact_bytes,
        "ranks": _ranks(loop, master_port),
    }


def _ranks(loop: ResearchLoop, master_port: int) -> list[Mapping[str, str]]:
    """The torchrun variables of each process of a PyTorchJob; for a plain job one process without any."""
    job = loop.spec.experiment.py_torch_job
    if job is None:
        return [{}]
    return [
        {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(master_port),
            "WORLD_SIZE": str(job.ranks),
            "RANK": str(rank),
            # This machine counts as one node, regardless of the pods in a cluster, so that each rank can use the GPU
            # of its LOCAL_RANK alone.
            "LOCAL_RANK": str(rank),
            "LOCAL_WORLD_SIZE": str(job.ranks),
            "GROUP_RANK": "0",
        }
        for rank in range(job.ranks)
    ]


def own_value(variable: AgentEnvVar, environment: Mapping[str, str]) -> str:
    """Value of a variable of the agent on this machine; empty if the user's environment lacks it."""
    return variable.value if variable.value is not None else environment.get(variable.from_env or "", "")


def agent_spec(
    layout: RunFolder,
    loop: ResearchLoop,
    workload: Workload,
    gateway_url: str,
    token: str,
    base: Path,
    llm_url: str = "",
    *,
    joined: bool = False,
) -> Spec:
    """The spec of a session's process, with our agent or the user's. It has the addresses of gateway and LLM proxy, the
    token, and for agents other than policies the folder for transcripts. It has no provider key. `joined`: a person's
    own agent gets the session.
    """
    agent = loop.spec.agent
    spec = _base(layout.workload(workload.name), workload, GRACE_SECONDS, 1)
    spec["env"] |= {one.name: own_value(one, os.environ) for one in agent.env}
    spec["env"] |= {
        "RLOOP_GATEWAY": gateway_url,
        "RLOOP_TOKEN": token,
        "RLOOP_SESSION": workload.session,
        "RLOOP_HEARTBEAT_SECONDS": str(loop.spec.watchdog.heartbeat_seconds),
    }
    ours = [sys.executable, "-P", "-m", "rloop_agent"]
    if joined:
        spec["env"]["RLOOP_JOIN"] = str(layout.join)
        return spec | {"command": ours}
    if (policy := agent.searcher) is not None:
        spec["env"] |= {"RLOOP_POLICY": policy.name, "RLOOP_POLICY_SEED": str(policy.seed)}
    else:
        transcripts = str(layout.transcripts(workload.session))
        spec["env"]["RLOOP_TRANSCRIPTS"] = transcripts
        spec["folders"].append(transcripts)
    if agent.llm is not None:
        spec["env"] |= {"RLOOP_LLM_PROXY": llm_url, "RLOOP_LLM_MODEL": agent.llm.model}
    if agent.client is not None:
        spec["env"] |= {"RLOOP_CLIENT": agent.client.name, "RLOOP_CLIENT_ARGS": json.dumps(agent.client.args)}
        if agent.client.login == "Own":
            spec["env"]["RLOOP_CLIENT_HOME"] = str(Path.home())
    return spec | {"command": beside(agent.command, base) if agent.command else ours}


def verification_spec(
    layout: RunFolder,
    loop: ResearchLoop,
    workload: Workload,
    sealed: SealedTask,
    base: Path,
    artifact_sha256: str | None,
) -> Spec:
    """The spec of one verification: the evaluation's code, a copy of the artifacts, and the held-out data."""
    folder = layout.workload(workload.name)
    evaluation = loop.spec.evaluation
    held_out, held_out_sha256 = evaluation.held_out, sealed.held_out
    if workload.kind == "final" and evaluation.final_held_out is not None:
        held_out, held_out_sha256 = evaluation.final_held_out, sealed.final_held_out
    report = folder / "report.json"
    job = VerifierJob(
        command=evaluation.command,
        code=str(folder / "code"),
        code_sha256=sealed.evaluation,
        artifacts=str(folder / "artifacts"),
        held_out=str(base / held_out.path) if held_out is not None and held_out.path is not None else None,
        held_out_sha256=held_out_sha256,
        seed=workload.seed,
        timeout_seconds=evaluation.timeout_seconds,
        report=str(report),
    )
    spec = _base(folder, workload, GRACE_SECONDS, evaluation.resources.cpus)
    spec["env"]["RLOOP_VERIFIER_JOB"] = job.model_dump_json(by_alias=True)
    return spec | {
        "command": [sys.executable, "-P", "-m", "rloop_verifier"],
        "copy": {
            "source": str(layout.artifacts(workload.owner, workload.run)),
            "target": str(folder / "artifacts"),
            "max_bytes": loop.spec.experiment.max_artifact_bytes,
            "sha256": artifact_sha256,
        },
        "message_file": str(report),
    }
