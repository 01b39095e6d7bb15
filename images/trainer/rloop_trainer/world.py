"""The ranks of a run: who this process is, the process group, and what libraries are told through the environment.

Called by `rloop_trainer.__main__` and everything that has to agree with the other ranks. The variables are torchrun's;
without them a run is one process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

T = TypeVar("T")
GROUP_MINUTES = 10
"""How long a rank waits for the others in one collective call: longer than any step, shorter than a lost night."""
PATIENT_HOURS = 2
"""The same where the first rank makes or fetches something for all."""

DEFAULTS = {
    # Nothing leaves the pod, and nothing asks a hub for anything but the model.
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "DISABLE_MLFLOW_INTEGRATION": "TRUE",
    "TOKENIZERS_PARALLELISM": "false",
    # A rank whose peers are gone ends at once instead of cleaning up with them.
    "TORCH_NCCL_ASYNC_ERROR_HANDLING": "3",
    "TORCH_NCCL_DUMP_ON_TIMEOUT": "1",
    "TORCH_FR_BUFFER_SIZE": "2000",
}


class BadWorld(ValueError):
    """The variables of torchrun, or of the task's contract, do not fit together."""


@dataclass(frozen=True, slots=True)
class World:
    """This process among the ranks."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this rank writes what is shared."""
        return self.rank == 0


def world(environment: Mapping[str, str]) -> World:
    """Read torchrun's variables. Raises BadWorld."""
    rank, local_rank = _number(environment, "RANK", 0), _number(environment, "LOCAL_RANK", 0)
    found = World(rank, size(environment), local_rank)
    if not 0 <= found.rank < found.size:
        raise BadWorld(f"RANK is {found.rank}, which does not lie below WORLD_SIZE ({found.size})")
    if found.size > 1:
        for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
            if not environment.get(name):
                raise BadWorld(f"{name} is not set, and WORLD_SIZE is {found.size}: start the ranks with torchrun")
    return found


def size(environment: Mapping[str, str]) -> int:
    """How many ranks there are, or will be. Raises BadWorld."""
    found = _number(environment, "WORLD_SIZE", 1)
    if found == 0:
        raise BadWorld("WORLD_SIZE is 0: there is at least one rank")
    return found


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "")
    if text and not text.isdecimal():
        raise BadWorld(f"{name} is {text!r}, which is no whole number; torchrun sets it")
    return int(text) if text else default


def set_defaults(environment: MutableMapping[str, str]) -> None:
    """Before anything heavy is imported; what is set already stays."""
    for name, value in DEFAULTS.items():
        environment.setdefault(name, value)


def see_one_gpu(here: World, environment: MutableMapping[str, str]) -> None:
    """Hide all GPUs but the first from a run of one process, before CUDA starts.

    Of several that it sees, the libraries would split the model over all, or refuse to train.
    """
    if here.size == 1:
        environment["CUDA_VISIBLE_DEVICES"] = environment.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]


_patient: list[Any] = []


def join(here: World, *, deepspeed: bool) -> None:
    """Join the process group: nccl with a GPU, gloo without one. One process needs none, but for DeepSpeed.

    Raises BadWorld where there is no GPU for this rank.
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
    """Each rank of a node has a GPU of its own: nccl refuses two on one. Raises BadWorld."""
    if here.local_rank >= gpus:
        seen = "1 GPU" if gpus == 1 else f"{gpus} GPUs"
        raise BadWorld(
            f"LOCAL_RANK is {here.local_rank}, and this process sees {seen}: start no more ranks than GPUs, or train "
            "on the CPU with CUDA_VISIBLE_DEVICES set to nothing"
        )


def told(here: World, value: T) -> T:
    """What the first rank says, on all ranks; they wait for it."""
    if here.size == 1:
        return value
    import torch.distributed as dist

    box = [value]
    dist.broadcast_object_list(box, src=0, group=_patient[0])
    return box[0]


def any_of(here: World, *, flag: bool, patient: bool = False) -> bool:
    """Whether any rank says so; `patient` where one of them may be busy for long."""
    if here.size == 1:
        return flag
    import torch
    import torch.distributed as dist

    said = torch.tensor([int(flag)])
    dist.all_reduce(said, op=dist.ReduceOp.MAX, group=_patient[0] if patient else None)
    return bool(said.item())


def wait(here: World) -> None:
    """Until all ranks are here, however long one of them writes or fetches."""
    any_of(here, flag=False, patient=True)
