"""The ranks of a run: this process's rank, the process group, and environment variables for libraries.

Called by `rloop_trainer.__main__` and by everything that synchronises with the other ranks. The variables are
torchrun's; without them a run is one process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

T = TypeVar("T")
GROUP_MINUTES = 10
"""Timeout of one collective call in minutes: longer than any step, and short enough not to waste a night."""
PATIENT_HOURS = 2
"""Hours that ranks wait while the first rank makes or downloads something for all."""

DEFAULTS = {
    # No telemetry, and no requests to a hub except for the model.
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "DISABLE_MLFLOW_INTEGRATION": "TRUE",
    "TOKENIZERS_PARALLELISM": "false",
    # A rank that has lost its peers ends at once instead of cleaning up with them.
    "TORCH_NCCL_ASYNC_ERROR_HANDLING": "3",
    "TORCH_NCCL_DUMP_ON_TIMEOUT": "1",
    "TORCH_FR_BUFFER_SIZE": "2000",
}


class BadWorld(ValueError):
    """The variables of torchrun, or of the task's contract, are inconsistent."""


@dataclass(frozen=True, slots=True)
class World:
    """The rank of this process."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this rank writes shared files."""
        return self.rank == 0


def world(environment: Mapping[str, str]) -> World:
    """Read torchrun's variables. Raises BadWorld."""
    rank, local_rank = _number(environment, "RANK", 0), _number(environment, "LOCAL_RANK", 0)
    found = World(rank, size(environment), local_rank)
    if not 0 <= found.rank < found.size:
        raise BadWorld(f"RANK is {found.rank}, which is not less than WORLD_SIZE ({found.size})")
    if found.size > 1:
        for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
            if not environment.get(name):
                raise BadWorld(f"{name} is not set, and WORLD_SIZE is {found.size}: start the ranks with torchrun")
    return found


def size(environment: Mapping[str, str]) -> int:
    """Number of ranks, current or future. Raises BadWorld."""
    found = _number(environment, "WORLD_SIZE", 1)
    if found == 0:
        raise BadWorld("WORLD_SIZE is 0: it must be at least 1")
    return found


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "")
    if text and not text.isdecimal():
        raise BadWorld(f"{name} is {text!r}, which is not a whole number; torchrun sets it")
    return int(text) if text else default


def set_defaults(environment: MutableMapping[str, str]) -> None:
    """Set defaults for the libraries, before any of them is imported; existing values are kept."""
    for name, value in DEFAULTS.items():
        environment.setdefault(name, value)


def see_one_gpu(here: World, environment: MutableMapping[str, str]) -> None:
    """Hide all GPUs but the first from a run of one process, before CUDA starts.

    If several were visible, the libraries would split the model over them, or refuse to train.
    """
    if here.size == 1:
        environment["CUDA_VISIBLE_DEVICES"] = environment.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]


_patient: list[Any] = []


def join(here: World, *, deepspeed: bool) -> None:
    """Join the process group: nccl with a GPU, gloo without. One process needs none, except for DeepSpeed.

    Raises BadWorld if there is no GPU for this rank.
    """
    if here.size == 1 and not deepspeed:
        return
    import torch
    import torch.distributed as dist

    gpu = torch.cuda.is_available()
    if gpu:
        check_gpus(here, torch.cuda.device_count())
        torch.cuda.set_device(here.local_rank)
    backend, patience = "cpu:gloo,cuda:nccl" if gpu else "gloo", timedelta(minutes=GROUP_MINUTES)
    if here.size == 1:
        # Without these DeepSpeed would look for MPI.
        os.environ.setdefault("LOCAL_RANK", "0")
        dist.init_process_group(backend, timeout=patience, store=dist.HashStore(), rank=0, world_size=1)
        return
    dist.init_process_group(backend, timeout=patience)
    _patient.append(dist.new_group(backend="gloo", timeout=timedelta(hours=PATIENT_HOURS)))


def check_gpus(here: World, gpus: int) -> None:
    """Check that each rank of a node has its own GPU: nccl rejects two ranks on one. Raises BadWorld."""
    if here.local_rank >= gpus:
        seen = "1 GPU" if gpus == 1 else f"{gpus} GPUs"
        raise BadWorld(
            f"LOCAL_RANK is {here.local_rank}, but this process sees {seen}: start no more ranks than GPUs, or train "
            'on the CPU with CUDA_VISIBLE_DEVICES=""'
        )


def told(here: World, value: T) -> T:
    """The first rank's value, on all ranks; they wait for it."""
    if here.size == 1:
        return value
    import torch.distributed as dist

    box = [value]
    dist.broadcast_object_list(box, src=0, group=_patient[0])
    return box[0]


def any_of(here: World, *, flag: bool, patient: bool = False) -> bool:
    """Whether `flag` is true on any rank. Set `patient` if one of them may take long."""
    if here.size == 1:
        return flag
    import torch
    import torch.distributed as dist

    said = torch.tensor([int(flag)])
    dist.all_reduce(said, op=dist.ReduceOp.MAX, group=_patient[0] if patient else None)
    return bool(said.item())


def wait(here: World) -> None:
    """Wait until all ranks are here, even if one of them writes or downloads for long."""
    any_of(here, flag=False, patient=True)
