"""Score a run: how many sums that no run has seen the exported model completes exactly.

Reads $RLOOP_ARTIFACTS/model and the pairs in $RLOOP_HELD_OUT, writes $RLOOP_VERDICT. An artifact that is no model of
the task is a failed check, and not an error: the scorer is not what is broken.
"""

import json
import os

import qwen2

VOCABULARY = "0123456789+="  # the first of them has id 2; 0 is padding, 1 the end
END = 1
ANSWER = 2  # digits


def ids(text):
    return [VOCABULARY.index(letter) + 2 for letter in text]


def main():
    with open(os.path.join(os.environ["RLOOP_HELD_OUT"], "pairs.jsonl"), encoding="utf-8") as file:
        pairs = [json.loads(line) for line in file]
    check = {"name": "model", "passed": True, "detail": f"{len(pairs)} held-out sums"}
    metrics = {}
    try:
        file = os.path.join(os.environ["RLOOP_ARTIFACTS"], "model", "model.safetensors")
        model = qwen2.Model(qwen2.load(file))
        right = [model.complete(ids(one["prompt"]), ANSWER + 1) == (*ids(one["answer"]), END) for one in pairs]
        metrics["accuracy"] = sum(right) / len(right)
    except qwen2.BadModel as error:
        check |= {"passed": False, "detail": str(error)}
    with open(os.environ["RLOOP_VERDICT"], "w", encoding="utf-8") as file:
        json.dump({"metrics": metrics, "checks": [check]}, file)


main()
