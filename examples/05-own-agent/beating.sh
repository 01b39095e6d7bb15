#!/bin/sh
# Beats for an agent that cannot do it itself. In loop.yaml: command: ["sh", "./beating.sh", "my-agent", "an argument"]
# It starts the agent in its own place, so that a signal to end reaches the agent, and beats for as long as that lives.
# When the answer says that the session is over, the agent gets SIGTERM.
while kill -0 $$ 2>/dev/null; do
  answer=$(curl -s -m 10 -d '{}' -H "Content-Type: application/json" \
    -H "Authorization: Bearer ${RLOOP_TOKEN:-$(cat "$RLOOP_TOKEN_FILE")}" "$RLOOP_GATEWAY/v1/heartbeat")
  case $answer in *'"closing":true'*) kill -s TERM $$ ;; esac
  sleep "$RLOOP_HEARTBEAT_SECONDS"
done &
exec "$@"
