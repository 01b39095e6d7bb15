"""DeepSpeed's settings for a stage of ZeRO.

Called by `rloop_trainer.run` and `rloop_trainer.training`. Nothing of DeepSpeed's that needs a compiler when it runs:
the image has none, and ranks that compile the same thing at once wait for each other. So the optimizer is torch's.
"""

from __future__ import annotations

from typing import Any

from rloop_trainer.recipe import Distributed


def config(distributed: Distributed) -> dict[str, Any] | None:
    """For transformers' `deepspeed=`; None where the recipe asks for none."""
    if distributed.zero is None:
        return None
    return {
        "zero_optimization": {"stage": distributed.zero, "stage3_gather_16bit_weights_on_model_save": True},
        "zero_allow_untested_optimizer": True,
        "bf16": {"enabled": distributed.precision == "bfloat16"},
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "steps_per_print": 1_000_000_000,
    }


def prepare(distributed: Distributed) -> None:
    """Once the ranks have joined, before a model is loaded: ZeRO 3 shares one out while it is read."""
    if distributed.zero is None:
        return
    import deepspeed

    # Without a GPU it would build an all-reduce of its own in C++; gloo's is as good.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed()  # takes torch's ranks over; until then it believes that there is one
