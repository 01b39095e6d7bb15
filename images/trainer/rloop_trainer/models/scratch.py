"""A small Qwen2 with random weights, and its tokenizer with one token per character.

Called by `rloop_trainer.models.warm_start` and `rloop_trainer.models.start_model`. Qwen2, because every tool can load
it; characters, because a task of digits needs no more, and the vocabulary is in the recipe.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rloop_trainer.inputs.recipe import Scratch

PADDING, END = "<pad>", "<end>"


def tokenizer(scratch: Scratch) -> Any:
    """A fast tokenizer: padding is 0, end is 1, the characters follow in the recipe's order."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    ids = {token: number for number, token in enumerate((PADDING, END, *scratch.vocabulary))}
    inner = Tokenizer(models.WordLevel(ids, unk_token=PADDING))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    inner.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token=PADDING,
        eos_token=END,
        padding_side="left",
        model_max_length=scratch.positions,
        clean_up_tokenization_spaces=False,
    )


def model(scratch: Scratch, seed: int) -> Any:
    """The model in float32, determined by the seed."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(scratch.vocabulary) + 2,
        hidden_size=scratch.hidden,
        intermediate_size=scratch.intermediate,
        num_hidden_layers=scratch.layers,
        num_attention_heads=scratch.heads,
        num_key_value_heads=scratch.kv_heads,
        max_position_embeddings=scratch.positions,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
        use_sliding_window=False,
        tie_word_embeddings=False,
        dtype="float32",
    )
    return Qwen2ForCausalLM(config)


def save(folder: Path, made: Any, words: Any) -> None:
    """Save model and tokenizer in the layout of Hugging Face."""
    made.save_pretrained(folder)
    words.save_pretrained(folder)
