"""The task of the contract suite: what a run does stands in a file, and a scorer that nobody starts."""

from rloop_operator.ports import File

SCRIPT = """case "$(cat behaviour)" in
  ok) echo '{"step": 1, "loss": 0.75}' > "$RLOOP_ARTIFACTS/progress.jsonl"
      echo '{"loss": 0.5}' > "$RLOOP_ARTIFACTS/claims.json"
      # Longer than a relay's interval: its last report has seconds, which a full machine may not keep.
      if [ -n "$KUBERNETES_SERVICE_HOST" ]; then sleep 3; fi ;;
  fail) echo "it went wrong" >&2; exit 3 ;;
  sleep) exec sleep 600 ;;
esac
"""
TASK = {"run.sh": File(SCRIPT.encode(), executable=True), "behaviour": File(b"ok")}
EVALUATION = {"score": File(b"#!/bin/sh\n", executable=True)}
