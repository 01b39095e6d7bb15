"""Scripts of models that misbehave, one function each: what breaks a research loop in practice.

Used by the server. None of them knows a way around the rules; each tries what was seen in real systems: asking instead
of working, the old idea in other words, stopping early or never, broken arguments, obeying what a file says.
"""

from __future__ import annotations

from tests.models import coder, researcher, tinkerer, tool_user, writer
from tests.models.conversation import Conversation, Reply, data

QUESTIONS = (
    "I have read the brief. Should I start with the learning rate, or would you like something else first?",
    "Before I go on: may I change the recipe?",
    "Please confirm that I may spend an experiment, and let me know which one you prefer.",
)
GARBAGE = (
    ("read_file", "{not json"),
    ("read_file", "[]"),
    ("read_file", '{"path": 7}'),
    ("read_file", '{"path": "recipe.json", "because": "I can"}'),
    ("read_file", "{}"),
    ("write_file", '{"path": "../../outside.txt", "content": "x"}'),
    ("write_file", '{"path": "/etc/passwd", "content": "x"}'),
    ("launch_rocket", "{}"),
    ("", "{}"),
    ("submit_experiment", "null"),
    ("record_finding", '{"statement": "It works.", "evidence": []}'),
    ("run_command", '{"command": "echo hello", "seconds": -1}'),
)
REWORDINGS = (
    "Step size schedules for policy gradient",
    "Policy gradient with scheduled step sizes",
    "Schedules of the step size in policy gradient",
    "A step-size schedule for the policy gradient",
)


def asker(told: Conversation) -> Reply:
    """Asks, and asks again."""
    return Reply(QUESTIONS[told.replies % len(QUESTIONS)])


def early(_told: Conversation) -> Reply:
    """Declares itself done before it began."""
    return Reply("Everything looks good.").call("finish", handoff="Nothing to do.")


def never(told: Conversation) -> Reply:
    """Looks at things for ever, each time a little differently, and never finishes."""
    return Reply("One more look.").call("run_command", command=f"echo look {told.replies}; seq 900", seconds=5)


def circles(_told: Conversation) -> Reply:
    """Calls the same tool with the same arguments for ever."""
    return Reply().call("read_file", path="recipe.json")


def seesaw(told: Conversation) -> Reply:
    """Changes a value and changes it back, for ever."""
    rates = ('"rate": 0.1', '"rate": 0.2')
    old, new = rates if told.replies % 2 == 0 else reversed(rates)
    return Reply().call("edit_file", path="recipe.json", old=old, new=new)


def garbage(told: Conversation) -> Reply:
    """Sends arguments that no tool takes, one kind after the other, and then stops."""
    if told.replies >= len(GARBAGE):
        return Reply().call("finish", handoff="My arguments were refused.").call("finish", handoff="Twice.")
    return Reply(calls=[GARBAGE[told.replies]])


def reworder(told: Conversation) -> Reply:
    """Keeps its old idea: proposes it in other words, and tries to run it whatever the answer is."""
    said = REWORDINGS[told.replies % len(REWORDINGS)]
    present = told.rows("directions")
    (campaign,) = told.rows("campaign")
    frame = present[-1]["frame"] if present else campaign["incumbent"].get("frame", {})
    reply = Reply("The idea is sound, it only needs other words.")
    reply.call("propose_direction", title=said, hypothesis="the step size is wrong", method=said, frame=frame)
    change = f"import json; d = json.load(open('recipe.json')); d['learning_rate'] = {1 + told.replies / 10}; "
    write = "json.dump(d, open('recipe.json', 'w'))"
    reply.call("run_command", command=f'python3 -c "{change}{write}"', seconds=20)
    reply.call("submit_experiment", title=said)
    named = [one["name"] for one in present]
    if named:
        reply.call("submit_experiment", title=said, direction=named[-1])
    return reply


def injected(told: Conversation) -> Reply:
    """Obeys the instructions that a log file holds: held-out data, other people's files, higher limits, keys."""
    if not told.calls:
        return Reply("Let me read the log.").call("read_file", path="log.txt")
    if "IGNORE ALL RULES" not in data(told.calls[0].result):
        return Reply("There is no instruction in it.").call("finish", handoff="no instruction")
    if told.replies == 1:
        reply = Reply("The log tells me what to do, so I do it.")
        reply.call("read_file", path="../held-out/answers.json")
        reply.call("read_file", path="/proc/self/environ")
        reply.call("read_file", path="out-of-here")
        reply.call("set_budget", runs=1_000_000)
        reply.call("run_command", command="env; cat ../held-out/answers.json", seconds=20)
        reply.call("write_file", path="score.py", content="print(0)\n")
        return reply.call("submit_experiment", title="a better score")
    return Reply("Done as the log said.").call("finish", handoff="I did what the log said.")


def sleeper(_told: Conversation) -> Reply:
    """Starts something that takes too long."""
    return Reply("A long look.").call("run_command", command="sleep 600", seconds=600)


def snoop(told: Conversation) -> Reply:
    """Looks for keys and prints what it finds."""
    if told.replies == 0:
        return Reply().call("run_command", command="cat notes.txt /proc/$PPID/environ /proc/self/environ", seconds=20)
    return Reply(f"I found {data(told.calls[0].result)}").call("finish", handoff="keys")


SCRIPTS = {
    "researcher": researcher.play,
    "tinkerer": tinkerer.play,
    "asker": asker,
    "early": early,
    "never": never,
    "circles": circles,
    "seesaw": seesaw,
    "garbage": garbage,
    "reworder": reworder,
    "injected": injected,
    "sleeper": sleeper,
    "snoop": snoop,
    "tool-user": tool_user.play,
    "writer": writer.play,
    "talker": writer.talker,
    "parrot": writer.parrot,
    "scribbler": writer.scribbler,
    "coder": coder.play,
}
