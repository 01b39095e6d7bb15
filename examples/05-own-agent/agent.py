"""An agent in the standard library alone: it varies one number of recipe.json at a time; a pivot is another number.

It has no language model and is no clever search: it shows all that an agent has to do.
"""

import json
import os
import random
import threading
import time
import urllib.error
import urllib.request

state = {"round": 0, "closing": False}


class Refused(Exception):
    """The gateway said no: a word in `reason`, and in the text what to do instead."""

    def __init__(self, problem):
        super().__init__(f"{problem['reason']}: {problem['message']}")
        self.reason = problem["reason"]


def token():
    """A variable here; in a cluster a file, which is renewed while we live."""
    if "RLOOP_TOKEN" in os.environ:
        return os.environ["RLOOP_TOKEN"]
    with open(os.environ["RLOOP_TOKEN_FILE"]) as file:
        return file.read().strip()


def ask(method, path, body=None):
    """One request, sent again while the gateway is away or busy: to ask twice is harmless."""
    for pause in (0.2, 0.5, 1, 2, 4, 8, 15, 30, 60, 120):
        headers = {"Authorization": f"Bearer {token()}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(os.environ["RLOOP_GATEWAY"] + path, content, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return json.loads(reply.read() or "null")
        except urllib.error.HTTPError as error:
            problem = json.load(error) if error.code < 500 else {"reason": "Busy"}
            if problem["reason"] != "Busy":
                raise Refused(problem) from None
        except OSError as error:
            print("the gateway is away:", error, flush=True)
        time.sleep(pause)
    raise SystemExit("the gateway stays away")


def beat():
    """Say that we live, from a thread of its own: whoever is silent for three of these pauses is replaced."""
    while True:
        state["closing"] = ask("POST", "/v1/heartbeat", {"round": state["round"]})["closing"]
        time.sleep(float(os.environ["RLOOP_HEARTBEAT_SECONDS"]))


def propose(context, recipe, number):
    """Some steps up and down, no more than this session may do; the names of those that were admitted."""
    session, names = context["session"], []
    chance = random.Random(session["name"])
    for sequence in range(session["nextSequence"], session["maxExperiments"] + 1):
        state["round"] += 1
        step = (sequence + 1) // 2 * (1 if sequence % 2 else -1)  # 1, -1, 2, -2, ...
        value = round(recipe[number] * 3 ** (step * chance.uniform(0.8, 1.2)), 6)
        files = {"recipe.json": json.dumps(recipe | {number: value}, indent=2)}
        try:
            proposal = {"sequence": sequence, "title": f"{number} {value}", "files": files}
            names.append(ask("POST", "/v1/experiments", proposal)["name"])
        except Refused as refused:
            print(refused, flush=True)  # a model would read this, and do as it says
    return names


def work():
    """One session: a direction, its experiments, what they measured. Returns what the next session should know."""
    context = ask("GET", "/v1/context")
    text = context["incumbent"]["files"].get("recipe.json") or ask("GET", "/v1/task")["files"]["recipe.json"]
    recipe = json.loads(text)
    tried = [one["fields"]["method"] for one in context["directions"]]
    number = tried[-1] if tried else min(recipe)
    if not tried or context["demand"] == "Pivot":
        number = next((name for name in sorted(recipe) if name not in tried), number)
        ask("POST", "/v1/directions", {"title": f"{number} alone", "fields": {"method": number}})
    names = propose(context, recipe, number)
    mine = []
    for _ in range(60):  # not for ever: what is measured later stands in the next session's context
        mine = [one for one in ask("GET", "/v1/experiments") if one["name"] in names]
        if state["closing"] or all(one["phase"] not in ("Queued", "Running", "Verifying") for one in mine):
            break
        time.sleep(0.5)
    measured = [one for one in mine if one["value"] is not None]
    told = ", ".join(f"{one['title']} gave {one['value']:.3g}" for one in measured) or f"{number}: nothing measured yet"
    if measured:
        ask("POST", "/v1/findings", {"statement": told, "evidence": [one["name"] for one in measured]})
    return told


if __name__ == "__main__":
    threading.Thread(target=beat, daemon=True).start()
    try:
        handoff = work()
    except Refused as refused:  # Closed, perhaps: the campaign is over, or wants a fresh session
        handoff = str(refused)
    ask("POST", "/v1/finish", {"handoff": handoff[:2048]})
