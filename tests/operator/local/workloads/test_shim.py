"""The shim: limits, ends, and what is left of a process tree."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rloop_operator.local.workloads import processes
from rloop_operator.task_files import files_digest

if TYPE_CHECKING:
    from tests.operator.local.conftest import Campaign

LINUX = sys.platform == "linux"


def test_a_run_gets_what_the_task_contract_promises_and_nothing_else(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("XDG_CACHE_HOME", "/my/cache")
    code = (
        "import json, os, pathlib; e = os.environ\n"
        "for name in ('HOME', 'TMPDIR', 'RLOOP_ARTIFACTS', 'RLOOP_CHECKPOINTS'):\n"
        "    pathlib.Path(e[name], 'x').write_text('x')\n"
        "pathlib.Path(e['RLOOP_ARTIFACTS'], 'env').write_text(json.dumps([dict(e), os.listdir()]))\n"
    )
    loop = campaign.python(code, cpuSeconds=30, env=[{"name": "DEPTH", "value": "4"}])
    end = asyncio.run(campaign.run(loop))
    assert (end.code, end.reason, end.log_tail) == (0, "Completed", "")
    env, files = json.loads((campaign.artifacts() / "env").read_text())
    assert files == ["train.py"]
    assert env.pop("DEPTH") == "4"
    assert {name: env[name] for name in env if name.startswith("RLOOP_") and "/" not in env[name]} == {
        "RLOOP_SEED": "42",
        "RLOOP_EXPERIMENT": "kuhn-b01",
        "RLOOP_ATTEMPT": "1",
        "RLOOP_CPU_SECONDS": "30",
        "RLOOP_WORKLOAD_COOKIE": env["RLOOP_WORKLOAD_COOKIE"],
    }
    assert env["OMP_NUM_THREADS"] == "1"
    assert env["XDG_CACHE_HOME"] == "/my/cache"
    assert not {"OPENAI_API_KEY", "USER", "SSH_AUTH_SOCK", "PYTHONPATH"} & set(env)
    assert not Path(env["TMPDIR"]).exists() or Path(env["TMPDIR"]).is_relative_to(campaign.folder)


def test_an_exit_carries_usage_claims_and_the_digest_of_the_artifacts(campaign: Campaign) -> None:
    code = (
        "import os, pathlib, time\n"
        "block = bytearray(os.urandom(1)) * (100 << 20)\n"
        "out = pathlib.Path(os.environ['RLOOP_ARTIFACTS'])\n"
        '(out / \'claims.json\').write_text(\'{"loss": 0.5, "bad": NaN, "odd": "x", "n": 3, "b": true}\')\n'
        '(out / \'progress.jsonl\').write_text(\'{"step": 1, "loss": 1.5}\\n{"step": 2, "loss": NaN}\\n\')\n'
        "os.mkfifo(out / 'pipe'); (out / 'passwords').symlink_to('/etc/passwd')\n"
        "start = time.process_time()\n"
        "while time.process_time() - start < 0.3: pass\n"
        "print('done \\x1b[31mred\\x1b[0m\\x07')\n"
    )
    end = asyncio.run(campaign.run(campaign.python(code)))
    assert (end.code, end.reason) == (0, "Completed")
    assert end.claims == {"loss": 0.5, "n": 3.0}
    assert end.log_tail.startswith(
        'done red\n[rloop] claims.json: ignored bad: NaN, odd: "x", b: true; a claim is a finite number'
    )
    assert "[rloop] progress.jsonl: loss is NaN, infinite or beyond ±1e150 from step 2 on" in end.log_tail
    assert end.usage.cpu_seconds >= 0.3
    assert end.usage.wall_seconds >= 0.3
    assert 100 << 20 <= end.usage.peak_memory_bytes < 300 << 20
    files = campaign.artifacts()
    from rloop_operator.ports import File

    assert end.artifact_sha256 == files_digest(
        {name: File((files / name).read_bytes()) for name in ("claims.json", "progress.jsonl")}
    )


def test_cpu_time_is_counted_over_children_that_are_long_gone(campaign: Campaign) -> None:
    code = (
        "import subprocess, sys\n"
        "burn = 'import time\\nwhile time.process_time() < 0.2: pass'\n"
        "for _ in range(100): subprocess.run([sys.executable, '-c', burn])\n"
    )
    end = asyncio.run(campaign.run(campaign.python(code, cpuSeconds=1)))
    assert end.reason == "CpuExceeded"
    assert 1 <= end.usage.cpu_seconds < 10
    assert "CPU time" in end.log_tail


def test_a_deadline_ends_the_whole_tree_even_if_it_ignores_sigterm(
    campaign: Campaign, alive: Callable[[int], bool]
) -> None:
    code = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('deaf', flush=True))\n"
        "child = os.fork()\n"
        "os.write(1, b'%d\\n' % os.getpid())\n"
        "while True: time.sleep(1)\n"
    )
    end = asyncio.run(campaign.run(campaign.python(code), deadline=1))
    assert (end.reason, end.code) == ("DeadlineExceeded", None)
    pids = [int(line) for line in end.log_tail.splitlines() if line.isdigit()]
    assert len(pids) == 2
    assert not any(map(alive, pids))
    assert "deaf" in end.log_tail


DAEMON = (
    "import os, time\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork() == 0:\n"
    "        os.write(1, b'daemon %d\\n' % os.getpid())\n"
    "        time.sleep(1000)\n"
    "    os._exit(0)\n"
    "time.sleep({})\n"
)


def daemon_of(output: str) -> int:
    return next(int(line.split()[1]) for line in output.splitlines() if line.startswith("daemon"))


def test_a_daemon_that_escapes_its_group_is_killed_with_the_run(
    campaign: Campaign, alive: Callable[[int], bool]
) -> None:
    end = asyncio.run(campaign.run(campaign.python(DAEMON.format("0.5"))))
    assert (end.code, end.reason) == (0, "Completed")
    assert not alive(daemon_of(end.log_tail))


def test_a_flood_of_output_is_bounded_and_its_end_is_kept(campaign: Campaign) -> None:
    code = "import os\nfor _ in range(40): os.write(1, b'x' * (1 << 20))\nprint('\\nthe end')\n"
    end = asyncio.run(campaign.run(campaign.python(code)))
    assert end.reason == "Completed"
    assert "the end" in end.log_tail
    assert "bytes of output were dropped" in end.log_tail
    assert len(end.log_tail.encode()) <= 4096
    assert 16 << 20 <= campaign.output().stat().st_size < 17 << 20


@pytest.mark.parametrize(("command", "code"), [(["no-such-program"], 127), (["./train.py"], 126), (["/"], 126)])
def test_a_program_that_cannot_be_started_is_named(campaign: Campaign, command: list[str], code: int) -> None:
    end = asyncio.run(campaign.run(campaign.loop(command)))
    assert (end.code, end.reason, end.infrastructure) == (code, "StartFailed", False)
    assert f'"{command[0]}" could not be started' in end.log_tail


@pytest.mark.parametrize(
    ("code", "reason", "exit_code", "told"),
    [
        ("raise SystemExit(3)", "Error", 3, ""),
        ("import os; os.kill(os.getpid(), 11)", "Error", 139, "SIGSEGV"),
        ("import os; os.kill(os.getpid(), 9)", "Killed", 137, "SIGKILL"),
        ("open('/dev/stderr', 'wb').write(b'\\xff\\xfe bad')", "Completed", 0, "bad"),
    ],
)
def test_every_end_has_its_reason(campaign: Campaign, code: str, reason: str, exit_code: int, told: str) -> None:
    end = asyncio.run(campaign.run(campaign.python(code)))
    assert (end.reason, end.code, end.infrastructure) == (reason, exit_code, False)
    assert told in end.log_tail


def test_the_python_that_lacks_a_module_is_named(campaign: Campaign) -> None:
    end = asyncio.run(campaign.run(campaign.python("import nothing_of_that_name")))
    assert 'which has no module "nothing_of_that_name"; install it there' in end.log_tail.splitlines()[-1]


def test_a_run_that_leaves_too_much_has_failed(campaign: Campaign) -> None:
    code = "import os; open(os.environ['RLOOP_ARTIFACTS'] + '/model', 'wb').write(bytes(1000))"
    end = asyncio.run(campaign.run(campaign.python(code, maxArtifactBytes=999)))
    assert (end.reason, end.artifact_sha256) == ("ArtifactTooLarge", None)
    assert "maxArtifactBytes" in end.log_tail


def test_ranks_of_a_pytorchjob_meet_and_one_failure_ends_all(campaign: Campaign) -> None:
    job = {"job": None, "pyTorchJob": {"replicas": 2, "procPerNode": 2}}
    names = "('RANK', 'LOCAL_RANK', 'LOCAL_WORLD_SIZE', 'GROUP_RANK', 'WORLD_SIZE', 'MASTER_ADDR')"
    end = asyncio.run(
        campaign.run(
            campaign.python(
                f"import os; os.write(1, (' '.join(os.environ[n] for n in {names}) + chr(10)).encode())", **job
            )
        )
    )
    assert sorted(end.log_tail.splitlines()) == [f"{rank} {rank} 4 0 4 127.0.0.1" for rank in range(4)]
    code = "import os, time; time.sleep(1000) if os.environ['RANK'] != '1' else exit(5)"
    end = asyncio.run(campaign.run(campaign.python(code, **job), name="kuhn-b01-r1-a2"))
    assert (end.reason, end.code) == ("Error", 5)


@pytest.mark.parametrize(
    ("preflight", "reason", "code"),
    [("pass", "Completed", 0), ("exit('recipe.yaml: no such key')", "PreflightFailed", 1)],
)
def test_no_rank_starts_before_the_preflight_has_passed(
    campaign: Campaign, preflight: str, reason: str, code: int
) -> None:
    job = {"job": None, "pyTorchJob": {"replicas": 2}, "preflight": [sys.executable, "-c", preflight]}
    # In one piece: two ranks write at once.
    end = asyncio.run(campaign.run(campaign.python("import os; os.write(1, b'a rank\\n')", **job)))
    assert (end.reason, end.code) == (reason, code)
    assert end.log_tail.splitlines() == (["a rank"] * 2 if code == 0 else ["recipe.yaml: no such key"])


@pytest.mark.parametrize(
    ("job", "told"), [({"job": None, "pyTorchJob": {"replicas": 2, "procPerNode": 3}}, "6 None"), ({}, "None None")]
)
def test_a_preflight_is_no_rank_and_knows_how_many_there_will_be(
    campaign: Campaign, job: dict[str, Any], told: str
) -> None:
    code = "import os; print(os.environ.get('WORLD_SIZE'), os.environ.get('RANK')); exit(1)"
    end = asyncio.run(campaign.run(campaign.python("pass", preflight=[sys.executable, "-c", code], **job)))
    assert (end.reason, end.log_tail.strip()) == ("PreflightFailed", told)


def test_a_deadline_holds_for_the_preflight_too(campaign: Campaign) -> None:
    loop = campaign.python("print('a rank')", preflight=["sleep", "1000"])
    end = asyncio.run(campaign.run(loop, deadline=1))
    assert (end.reason, "a rank" in end.log_tail) == ("DeadlineExceeded", False)


def spec_folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / "spec.json").write_text(
        json.dumps(
            {
                "command": [sys.executable, "-c", f"open({str(folder / 'runs')!r}, 'a').write('x')"],
                "cwd": str(folder),
                "env": {processes.COOKIE: "test"},
                "deadline_seconds": 60,
                "grace_seconds": 1,
            }
        )
    )
    return folder


def shim(folder: Path) -> int:
    return subprocess.run(
        [sys.executable, "-m", "rloop_operator.local.workloads.shim", str(folder)], check=False
    ).returncode


def test_twenty_shims_of_one_folder_run_it_once(tmp_path: Path) -> None:
    folder = spec_folder(tmp_path / "one")
    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(shim, [folder] * 20)) == {0}
    assert shim(folder) == 0
    assert (folder / "runs").read_text() == "x"
    assert json.loads((folder / "exit.json").read_text())["reason"] == "Completed"


def test_a_folder_whose_shim_died_is_not_run_again(tmp_path: Path) -> None:
    folder = spec_folder(tmp_path / "one")
    (folder / "shim.json").write_text("{}")
    assert shim(folder) == 0
    assert not (folder / "runs").exists()


def test_a_stop_that_came_first_is_obeyed(tmp_path: Path) -> None:
    folder = spec_folder(tmp_path / "one")
    (folder / "stop.json").write_text('{"reason": "Withdrawn"}')
    assert shim(folder) == 0
    assert not (folder / "runs").exists()
    assert json.loads((folder / "exit.json").read_text())["reason"] == "Withdrawn"


def test_the_shim_loads_the_standard_library_only() -> None:
    code = "import sys, rloop_operator.local.workloads.shim; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"pydantic", "structlog", "rloop.api.common", "sqlite3", "asyncio", "pathlib"} & set(loaded)
    assert "psutil" not in loaded or not LINUX


def test_a_pid_that_changed_hands_is_never_signalled() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        found = processes.look(other.pid)
        assert found is not None
        assert processes.is_alive(other.pid, found.start)
        assert not processes.is_alive(other.pid, found.start + "0")
        import signal

        assert not processes.send(other.pid, found.start + "0", signal.SIGKILL)
        assert other.poll() is None
        assert processes.send(other.pid, found.start, signal.SIGKILL)
        assert other.wait() == -signal.SIGKILL
    assert not processes.is_alive(other.pid, found.start)
    assert os.getpid() not in processes.carriers("no such cookie")
