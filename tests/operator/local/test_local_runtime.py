"""The local runtime: once and never again, stop, loss, adoption, verification."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rloop.actions import Workload
from rloop.api.helpers import VerifierJob
from rloop.api.researchloop import ResearchLoop
from rloop_operator.local.workloads import launch
from rloop_operator.task_files import digest_tree

if TYPE_CHECKING:
    from tests.operator.local.conftest import Campaign

NAME = "kuhn-b01-r1-a1"
SLEEP = "print('up', flush=True); import time; time.sleep(1000)"


def shim_of(campaign: Campaign, name: str = NAME) -> int:
    return int(json.loads((campaign.folder / "workloads" / name / "shim.json").read_text())["pid"])


def test_twenty_starts_of_one_name_are_one_run_and_a_removed_one_never_starts_again(campaign: Campaign) -> None:
    loop = campaign.python("import os; open(os.environ['RLOOP_CHECKPOINTS'] + '/n', 'a').write('x')")

    async def story() -> None:
        await asyncio.gather(*(campaign.begin(loop) for _ in range(20)))
        await campaign.ended()
        await campaign.begin(loop)
        campaign.reopen()
        await campaign.begin(loop)
        assert (await campaign.ended()).reason == "Completed"
        checkpoints = campaign.artifacts().with_name("checkpoints")
        assert (checkpoints / "n").read_text() == "x"
        await campaign.runtime.remove(NAME)
        await campaign.runtime.remove(NAME)
        for _ in range(2):
            await campaign.begin(loop)
            assert await campaign.runtime.observe("kuhn") == {}
            campaign.reopen()
        assert not (campaign.folder / "workloads" / NAME).exists()
        assert (campaign.folder / "logs" / "workloads" / f"{NAME}.log").exists()
        assert not checkpoints.exists(), "they were for a next attempt, and there will be none"

    asyncio.run(story())


def test_checkpoints_survive_the_attempts_of_a_run_and_artifacts_do_not(campaign: Campaign) -> None:
    code = (
        "import os, pathlib\n"
        "kept, out = (pathlib.Path(os.environ['RLOOP_' + n]) for n in ('CHECKPOINTS', 'ARTIFACTS'))\n"
        "print(len(list(kept.iterdir())), len(list(out.iterdir())))\n"
        "(kept / 'x').write_text(''); (out / 'x').write_text('')\n"
    )

    async def story() -> list[str]:
        loop = campaign.python(code)
        return [(await campaign.run(loop, f"kuhn-b01-r1-a{number}")).log_tail for number in (1, 2)]

    assert asyncio.run(story()) == ["0 0\n", "1 0\n"]


@pytest.mark.parametrize(("kind", "said"), [("smoke", "1"), ("screen", "no")])
def test_only_a_smoke_test_is_told_that_it_is_one(campaign: Campaign, kind: str, said: str) -> None:
    async def story() -> None:
        loop = campaign.python("import os; print(os.environ.get('RLOOP_SMOKE', 'no'))")
        await campaign.begin(loop, kind=kind)
        assert (await campaign.ended()).log_tail.strip() == said

    asyncio.run(story())


def test_a_stop_carries_its_reason_and_the_first_one_stands(campaign: Campaign) -> None:
    async def story() -> None:
        await campaign.begin(campaign.python(SLEEP))
        await campaign.printed("up")
        await campaign.runtime.stop("nobody", "Hang")
        await campaign.runtime.stop(NAME, "Hang")
        await campaign.runtime.stop(NAME, "Stopped")
        end = await campaign.ended()
        assert (end.reason, end.code, end.infrastructure) == ("Hang", None, False)
        await campaign.runtime.stop(NAME, "Late")
        assert (await campaign.ended()).reason == "Hang"

    asyncio.run(story())


def test_a_stop_right_after_the_start_is_not_lost(campaign: Campaign) -> None:
    async def story() -> None:
        await campaign.begin(campaign.python(SLEEP))
        await campaign.runtime.stop(NAME, "Stopped")
        for _ in range(5):  # a signal may have killed a shim that had not begun: then reconcile starts it again
            await campaign.begin(campaign.python(SLEEP))
            await asyncio.sleep(0.05)
        assert (await campaign.ended()).reason == "Stopped"

    asyncio.run(story())


def test_a_shutdowns_sigterm_is_infrastructure(campaign: Campaign) -> None:
    async def story() -> None:
        await campaign.begin(campaign.python(SLEEP))
        await campaign.printed("up")
        os.kill(shim_of(campaign), signal.SIGTERM)
        end = await campaign.ended()
        assert (end.reason, end.infrastructure) == ("Stopped", True)

    asyncio.run(story())


ESCAPED = (
    "import os, time\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork() == 0:\n"
    "        os.write(1, b'daemon %d\\n' % os.getpid())\n"
    "        time.sleep(1000)\n"
    "    os._exit(0)\n"
    "time.sleep(1000)\n"
)


def test_the_death_of_a_shim_is_a_loss_and_leaves_no_survivor(campaign: Campaign, alive: Callable[[int], bool]) -> None:
    async def story() -> None:
        await campaign.begin(campaign.python(ESCAPED))
        daemon = int((await campaign.printed("daemon")).split()[1])
        assert alive(daemon)
        os.kill(shim_of(campaign), signal.SIGKILL)
        end = await campaign.ended()
        assert (end.reason, end.infrastructure, end.code) == ("Lost", True, None)
        assert not alive(daemon)
        campaign.reopen()
        assert await campaign.ended() == end

    asyncio.run(story())


def test_a_new_operator_adopts_what_runs_and_hears_of_its_end(campaign: Campaign) -> None:
    code = (
        "import os, pathlib, time\n"
        "out = pathlib.Path(os.environ['RLOOP_ARTIFACTS'])\n"
        '(out / \'progress.jsonl\').write_text(\'{"step": 6}\\n{"step": 7}\\nrubbish\\n{"step": 8\')\n'
        "print('up', flush=True)\n"
        "while not (out / 'go').exists(): time.sleep(0.01)\n"
    )

    async def story() -> None:
        await campaign.begin(campaign.python(code))
        await campaign.printed("up")
        before = (await campaign.runtime.observe("kuhn"))[NAME]
        campaign.reopen()
        after = (await campaign.runtime.observe("kuhn"))[NAME]
        assert (after.exit, after.step, after.started_at) == (None, 7, before.started_at)
        assert campaign.runtime.live() == [NAME]
        assert await campaign.runtime.observe("other") == {}
        waiting = asyncio.create_task(campaign.runtime.wait())
        await asyncio.sleep(0.1)
        assert not waiting.done()
        (campaign.artifacts() / "go").touch()
        await asyncio.wait_for(waiting, 60)
        end = (await campaign.runtime.observe("kuhn"))[NAME].exit
        assert end is not None
        assert end.reason == "Completed"

    asyncio.run(story())


def test_short_tmpdirs_of_this_run_folder_are_swept_and_no_others(campaign: Campaign, tmp_path: Path) -> None:
    live, gone = campaign.folder / "workloads" / "kept", campaign.folder / "workloads" / "gone"
    live.mkdir()
    mine, theirs = launch.short_tmpdir(gone), launch.short_tmpdir(tmp_path / "other" / "workloads" / "gone")
    kept = launch.short_tmpdir(live)
    for folder in (mine, theirs, kept):
        folder.mkdir(mode=0o700)
    try:
        campaign.reopen()
        assert (mine.exists(), theirs.exists(), kept.exists()) == (False, True, True)
    finally:
        live.rmdir()
        campaign.reopen()
        theirs.rmdir()
    assert not kept.exists()


def test_a_running_workload_is_not_removed(campaign: Campaign) -> None:
    async def story() -> None:
        await campaign.begin(campaign.python(SLEEP))
        await campaign.printed("up")
        await campaign.runtime.remove(NAME)
        assert (await campaign.runtime.observe("kuhn"))[NAME].exit is None

    asyncio.run(story())


def test_a_deleted_folder_is_a_loss_and_no_fresh_start(campaign: Campaign) -> None:
    async def story() -> None:
        loop = campaign.loop()
        await campaign.run(loop)
        (campaign.folder / "workloads" / NAME).rename(campaign.folder / "elsewhere")
        campaign.reopen()
        await campaign.begin(loop)
        assert (await campaign.ended()).reason == "Lost"

    asyncio.run(story())


async def verify(campaign: Campaign, kind: str = "screen", command: str = "pass") -> tuple[VerifierJob, str]:
    """Start a verification of run 1, with a program of ours in the verifier's place."""
    original = launch.verification_spec

    def fake(*arguments: Any) -> launch.Spec:
        return original(*arguments) | {"command": [sys.executable, "-c", command]}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "verification_spec", fake)
        workload = Workload("kuhn-b01-r1-v1", "verification", "kuhn-b01", 60, run=1, seed=7, kind=kind)
        await campaign.runtime.start(campaign.loop(), workload)
    spec = json.loads((campaign.folder / "workloads" / "kuhn-b01-r1-v1" / "spec.json").read_text())
    return VerifierJob.model_validate_json(spec["env"]["RLOOP_VERIFIER_JOB"]), workload.name


def test_a_verifier_gets_sealed_code_a_copy_of_the_artifacts_and_its_report_is_the_message(
    campaign: Campaign,
) -> None:
    code = "import os; open(os.environ['RLOOP_ARTIFACTS'] + '/model', 'w').write('m')"
    report = (
        "import json, os; job = json.loads(os.environ['RLOOP_VERIFIER_JOB'])\n"
        "print(os.listdir(job['artifacts']), os.listdir(job['code']), os.listdir(job['heldOut']))\n"
        "open(job['report'], 'w').write('a report')\n"
    )

    async def story() -> None:
        trained = await campaign.run(campaign.python(code))
        job, name = await verify(campaign, command=report)
        assert job.seed == 7
        assert job.held_out is not None
        assert job.code_sha256 == digest_tree(job.code, 10**6)
        assert job.held_out_sha256 == digest_tree(job.held_out, 10**6)
        end = await campaign.ended(name)
        assert (end.reason, end.message) == ("Completed", "a report")
        assert end.log_tail == "['model'] ['score.py'] ['labels.txt']\n"
        assert end.artifact_sha256 == trained.artifact_sha256

    asyncio.run(story())


def test_artifacts_that_vanished_end_the_verification_with_their_reason(campaign: Campaign) -> None:
    async def story() -> None:
        await campaign.store.seal(campaign.loop())
        _, name = await verify(campaign)
        end = await campaign.ended(name)
        assert (end.reason, end.code, end.infrastructure) == ("ArtifactMissing", None, False)

    asyncio.run(story())


def test_an_agents_token_names_it_while_it_lives(campaign: Campaign) -> None:
    async def story() -> None:
        loop = campaign.loop()
        document = loop.model_dump(by_alias=True, mode="json", exclude_none=True)
        document["spec"]["agent"] = {"image": "any", "command": [sys.executable, "-c", SLEEP]}
        loop = type(loop).model_validate(document)
        await campaign.runtime.start(
            loop, Workload("kuhn-i0001-s1-a1", "agent", "kuhn-i0001", 60, session="kuhn-i0001-s1")
        )
        folder = campaign.folder / "workloads" / "kuhn-i0001-s1-a1"
        assert (folder / "spec.json").stat().st_mode & 0o777 == 0o600, "it has the token"
        env = json.loads((folder / "spec.json").read_text())["env"]
        await campaign.printed("up", "kuhn-i0001-s1-a1")
        campaign.reopen()
        caller = await campaign.identity.caller(env["RLOOP_TOKEN"])
        assert caller is not None
        assert (caller.workload, caller.role, caller.loop, caller.owner, caller.session) == (
            "kuhn-i0001-s1-a1",
            "agent",
            "kuhn",
            "kuhn-i0001",
            "kuhn-i0001-s1",
        )
        assert await campaign.identity.caller("wrong") is None
        stored = b"".join(path.read_bytes() for path in campaign.folder.glob("loop.db*"))
        assert env["RLOOP_TOKEN"].encode() not in stored
        await campaign.runtime.stop("kuhn-i0001-s1-a1", "Stopped")
        await campaign.ended("kuhn-i0001-s1-a1")
        assert await campaign.identity.caller(env["RLOOP_TOKEN"]) is None

    asyncio.run(story())


def test_a_policy_agent_is_told_its_policy(campaign: Campaign) -> None:
    workload = Workload("kuhn-i0001-s1-a1", "agent", "kuhn-i0001", 60, session="kuhn-i0001-s1")
    spec = launch.agent_spec(campaign.store.folder, campaign.loop(), workload, "http://here", "token", campaign.base)
    assert spec["command"][-1] == "rloop_agent"
    told = {name: value for name, value in spec["env"].items() if name.startswith("RLOOP_")}
    told.pop("RLOOP_WORKLOAD_COOKIE")
    assert told == {
        "RLOOP_GATEWAY": "http://here",
        "RLOOP_TOKEN": "token",
        "RLOOP_SESSION": "kuhn-i0001-s1",
        "RLOOP_POLICY": "random-search",
        "RLOOP_POLICY_SEED": "7",
        "RLOOP_HEARTBEAT_SECONDS": "30",
    }
    assert not any(str(campaign.folder) in value for name, value in told.items())


def test_an_agent_of_the_users_own_runs_beside_the_manifest_in_a_scratch_folder(campaign: Campaign) -> None:
    told = """
import os, pathlib
pathlib.Path("scratch").write_text("x")
print({name for name in os.environ if name.startswith("RLOOP_")}, pathlib.Path.cwd().name, flush=True)
"""
    (campaign.base / "agent.py").write_text(told)
    document = campaign.loop().model_dump(by_alias=True, mode="json", exclude_none=True)
    document["spec"]["agent"] = {"image": "any", "command": [sys.executable, "./agent.py"]}
    name = "kuhn-i0001-s1-a1"

    async def story() -> str:
        workload = Workload(name, "agent", "kuhn-i0001", 60, session="kuhn-i0001-s1")
        await campaign.runtime.start(ResearchLoop.model_validate(document), workload)
        assert (await campaign.ended(name)).code == 0
        return campaign.output(name).read_text()

    output = asyncio.run(story())
    assert output.rstrip().endswith(" home")
    for variable in ("RLOOP_GATEWAY", "RLOOP_TOKEN", "RLOOP_SESSION", "RLOOP_HEARTBEAT_SECONDS"):
        assert f"'{variable}'" in output
    assert "RLOOP_POLICY" not in output


def test_observing_changes_nothing_and_a_shim_that_cannot_begin_is_a_failed_start(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    broken.chmod(0o755)
    loop = campaign.loop()

    async def story() -> None:
        monkeypatch.setattr(sys, "executable", str(broken))
        for _ in range(4):
            await campaign.begin(loop)
            spawned = campaign.runtime._watched[NAME].spawned
            assert spawned is not None
            spawned.wait()
        end = await campaign.ended()
        assert (end.reason, end.infrastructure) == ("StartFailed", True)
        assert "broken" in end.log_tail

    asyncio.run(story())
