"""DeepSpeed's settings for a stage of ZeRO.

Called by `rloop_trainer.run` and `rloop_trainer.training`. Parts of DeepSpeed that need a compiler at run time are not
used: the image has no compiler, and ranks that compile the same thing at once wait for each other. So the optimizer is
torch's.
"""

from __future__ import annotations

from typing import Any

from rloop_trainer.inputs.recipe import Distributed


def config(distributed: Distributed) -> dict[str, Any] | None:
    """The value of transformers' `deepspeed=`; None if the recipe does not use DeepSpeed."""
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
    """Prepare DeepSpeed, between joining the ranks and loading a model: ZeRO 3 partitions it during loading."""
    if distributed.zero is None:
        return
    import deepspeed

    # Without a GPU it would compile its own all-reduce in C++; gloo's is as good.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed()  # adopts torch's process group; before that it assumes a single rank
