"""DeepSpeed's settings for a stage of ZeRO.

Called by `rloop_trainer.training`. The optimizer is torch's: DeepSpeed's own need a compiler when they run.
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
