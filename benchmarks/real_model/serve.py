"""A language model behind OpenAI's chat.completions, on loopback.

Run by `model.served` with the Python of the model's own environment, which has llama.cpp and nothing of this
repository. Prints its address, and ends with its standard input, so that it never outlives whoever started it.
"""

import sys

import xllamacpp


def main() -> None:
    """Serve `sys.argv[1]` with a window of `sys.argv[2]` tokens on `sys.argv[3]` threads."""
    params = xllamacpp.CommonParams()
    params.model.path = sys.argv[1]
    params.model_alias = {"local"}
    params.n_ctx = int(sys.argv[2])
    params.cpuparams.n_threads = int(sys.argv[3])
    params.n_parallel = 1
    params.warmup = False
    params.use_jinja = True
    server = xllamacpp.Server(params)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
