"""One session of the agent with a language model: from its context to its handoff.

Called by `__main__`. A round is one reply with all its tool calls. Whatever the model does, the session ends normally,
with the model's handoff or with one written by this program.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from rloop.api.wire import FinishRequest, TaskFiles
from rloop_agent import handoff
from rloop_agent.gateway import Closed, Gateway, Refused
from rloop_agent.llm import roles
from rloop_agent.llm.model.endpoint import Broken, Endpoint, Rejected
from rloop_agent.llm.model.history import History
from rloop_agent.llm.model.limits import Used
from rloop_agent.llm.model.no_answer import GaveUp, patiently
from rloop_agent.llm.model.reply import Reply, ToolCall
from rloop_agent.llm.model.transcript import Transcript
from rloop_agent.llm.prompt import short
from rloop_agent.llm.prompt.brief import brief
from rloop_agent.llm.text import text_calls
from rloop_agent.llm.text.wasted_replies import CIRCLES, LOOP, SILENT, Circles, said_to
from rloop_agent.llm.tools import as_text, registry
from rloop_agent.llm.tools.scratch import Scratch
from rloop_agent.llm.tools.session_state import RESULT_MAX, SessionState
from rloop_agent.session import Outcome, Surroundings

WINDOW = 32_768
"""Context window in tokens if the proxy does not know the model's."""
FULL_AT, COMPACTED_TO = 0.75, 0.45
"""Shares of the window: above the first the history is compacted, down to the second."""
BRIEF_SHARE, RESULT_SHARE = 0.35, 0.08
CHARACTERS_PER_TOKEN = 3
BRIEF = 1  # its index in the history: after the system message
CALL_SECONDS = 900.0
"""Maximum seconds of one call: a small model on a CPU needs minutes. The proxy enforces providers' deadlines."""
LAST = "This is the last round: only finish is carried out. Call it now, with the handoff."
NOT_NOW = "Not done: this is the last round, and only finish is carried out."


def run(gateway: Gateway, endpoint: Endpoint, around: Surroundings, transcript: Transcript) -> Outcome:
    """Work until an allowance is used up or the model has finished, then hand over.

    Raises Unauthorized and Unreachable; everything else that may happen to a session is an outcome.
    """
    proposed: list[str] = []
    rounds = 0
    with tempfile.TemporaryDirectory(prefix="task-", ignore_cleanup_errors=True) as own:
        try:
            session = _Session(gateway, endpoint, around, transcript, Path(own, "task"))
            proposed = session.state.proposed
            try:
                last = session.work()
            finally:
                rounds = session.used.rounds
            gateway.finish(last)
            text = last.handoff
        except Closed as closed:
            around.log("info", "closed", message=str(closed))
            transcript.write("closed", message=str(closed))
            return Outcome("", tuple(proposed), rounds, closed=True)
        except Refused as refused:
            text = f"Ended because the gateway rejected a request: {refused}"
            around.log("warning", "refused", reason=refused.reason, message=refused.message)
    around.log("info", "finished", handoff=text, rounds=rounds, proposed=len(proposed))
    transcript.write("finished", handoff=text, rounds=rounds, proposed=proposed)
    return Outcome(text, tuple(proposed), rounds)


class _Session:
    """The steps of one session."""

    def __init__(
        self, gateway: Gateway, endpoint: Endpoint, around: Surroundings, transcript: Transcript, folder: Path
    ) -> None:
        self._endpoint = endpoint
        self._around = around
        self._transcript = transcript
        self._context = context = gateway.context()
        self._history = History()
        self._circles = Circles()
        self._reading = text_calls.Reading()
        self._tools = registry.descriptions(context)
        self._window = WINDOW
        self._brief_room = 0
        self._names = frozenset(registry.of(context.session.role))
        self._quotations: set[text_calls.Written] = set()
        self._silent = 0
        self._has_called = False
        self._text = context.session.tool_calls == "Text"  # the request has no tools
        self._answering = endpoint.model
        self._structured = True  # until the provider rejects a JSON schema
        self.used = Used(context.session, around.clock, around.clock())
        # Checkers and report writers have no task to change.
        task = TaskFiles(files={}) if context.session.role in roles.CLOSING else gateway.task()
        scratch = Scratch(folder, task, context.editable, context.handoff.drafts if context.handoff else {})
        scratch.lay(context.incumbent.name, context.incumbent.files)
        left = self.used.seconds_left
        self.state = SessionState.begin(gateway, context, scratch, around.wait, around.stop, left)

    def work(self) -> FinishRequest:
        """Everything from the first request to the last one, which it returns."""
        try:
            self._open()
            while self.state.handoff is None:
                self._round()
        except GaveUp as end:
            self._note("ended", message=str(end))
            return FinishRequest(handoff=self._own_handoff(str(end)))
        return FinishRequest(handoff=handoff.cut(self.state.handoff), drafts=self.state.drafts)

    def _open(self) -> None:
        """Add the system message and the brief. The window is requested first, because it limits the brief."""
        known = patiently(self._known_window, self.used, self._around, self._note, shrink=lambda: False)
        self._window = known or WINDOW
        self._note("window", tokens=self._window, known=known is not None)
        characters = self._window * CHARACTERS_PER_TOKEN
        self.state.result_max = min(RESULT_MAX, int(RESULT_SHARE * characters))
        self._history.carry([] if self._text else self._tools)
        system = short.system(self.state) if self._text else roles.system(self._context.session.role)
        self._add({"role": "system", "content": system})
        self._brief_room = int(BRIEF_SHARE * characters)
        told = self._brief()
        self._quotations |= text_calls.quotations(told, self._names)
        self._add({"role": "user", "content": told})

    def _brief(self) -> str:
        if self._text:
            return short.first(self.state, self._brief_room)
        return brief(self._context, self.state.scratch.files(), self._brief_room, rounds=True)

    def _known_window(self) -> int | None:
        try:
            return self._endpoint.window(CALL_SECONDS, self._around.stop)
        except (Rejected, Broken) as error:
            # An endpoint without a list of models may still answer; if not, the first call reports the error.
            self._note("no list of models", message=str(error))
            return None

    def _round(self) -> None:
        """One reply, and its tool calls. Raises GaveUp if the session is over without a handoff."""
        last = self.used.last()
        self._say([LAST] if last else [*self.used.warnings(), *self._nudges()])
        reply = self._reply()
        self.used.rounds += 1
        self._around.on_round(self.used.rounds)
        self._silent = 0 if reply.calls else self._silent + 1
        self._answer(reply, last=last)
        if self.state.handoff is not None:
            return
        if last:
            raise GaveUp("It did not call finish in its last round.")
        if self._circles.refused >= CIRCLES:
            raise GaveUp("It repeated the same calls.")
        if self._silent >= SILENT:
            raise GaveUp(f"It called no tool in {SILENT} replies in a row.")

    def _answer(self, reply: Reply, *, last: bool) -> None:
        """Execute the tool calls of a reply, and return the results in the form in which the calls were made."""
        found = list[tuple[str, str]]()
        for call in reply.calls:
            result = NOT_NOW if last and call.name != "finish" else self._call(call)
            self._quotations |= text_calls.quotations(result, self._names)
            found.append((call.name, result))
            if not reply.written:
                self._add({"role": "tool", "tool_call_id": call.id, "content": result}, tool=call.name)
        if reply.written:
            told = f"{text_calls.results(found)}\n\n{as_text.next_call(self.state)}"
            self._add({"role": "user", "content": told}, tools=[name for name, _ in found])
        if not found:
            example = text_calls.shape(*registry.example(self.state))
            self._say([said_to(self._reading, example, self.state.missing())])
            if self._silent == SILENT // 2 and not self._text and not self._has_called:
                # This model has never used the API's tools: continue with calls as text and a JSON schema.
                self._text = True
                self._history.carry([])
                self._say([as_text.table(self.state)])

    def _reply(self) -> Reply:
        if self._history.tokens() > FULL_AT * self._window:
            self._compact(COMPACTED_TO)

        def ask() -> Reply:
            seconds = min(CALL_SECONDS, max(self.used.seconds_left(), 1.0))
            if not self._text:
                return self._endpoint.ask(self._history.messages, self._tools, seconds, self._around.stop)
            schema = self._schema() if self._structured else None
            try:
                return self._endpoint.ask(self._history.messages, [], seconds, self._around.stop, schema)
            except Rejected as error:
                if schema is None:
                    raise
                self._structured = False
                raise Broken(f"retried without a JSON schema: {error}") from error

        reply = patiently(ask, self.used, self._around, self._note, self._shrink)
        if reply.calls:
            self._has_called = True
        else:
            self._read(reply)
        self.used.call((reply.prompt_tokens + reply.answer_tokens) or self._history.tokens())
        self._history.counted(reply.prompt_tokens)
        counted = {"input": reply.prompt_tokens, "cached": reply.cached_tokens, "output": reply.answer_tokens}
        self._add(reply.message(), usage=counted)
        if reply.model and reply.model not in (self._endpoint.model, self._answering):
            self._answering = reply.model
            self._note("another model answered", asked=self._endpoint.model, answered=reply.model)
        return reply

    def _schema(self) -> dict[str, Any]:
        return as_text.schema(self.state, self._circles.loops(self.state.fingerprint()), last=self.used.last())

    def _read(self, reply: Reply) -> None:
        """Search the reply's text for tool calls."""
        self._reading = reading = text_calls.read(reply.text, self._names, self._quotations)
        if reading.text != reply.text.rstrip():
            self._note("cut off", text=reply.text[len(reading.text) :][:RESULT_MAX])
        reply.text = reading.text
        if reading.calls:
            reply.written = True
            reply.calls = [ToolCall(f"text_{n}", one.name, one.arguments) for n, one in enumerate(reading.calls)]

    def _call(self, call: ToolCall) -> str:
        """The result of one tool call."""
        if self._around.stop():
            return "Not executed: the session is ending."
        fingerprint = self.state.fingerprint()
        if self._circles.blocked(fingerprint, call.name, call.arguments):
            return LOOP
        result = registry.call(self.state, call.name, call.arguments)
        self._around.log("info", "tool", name=call.name[:100], round=self.used.rounds, characters=len(result))
        return self._circles.saw(fingerprint, call.name, call.arguments, result)

    def _shrink(self) -> bool:
        """Shorten the history: the provider's window is smaller than assumed. False if nothing can be removed."""
        self._window = min(self._window, self._history.tokens())
        return self._compact(COMPACTED_TO) or self._shorter_brief()

    def _shorter_brief(self) -> bool:
        """Rewrite the brief at half its length: the tools give access to what it leaves out."""
        self._brief_room //= 2
        before, shorter = self._history.messages[BRIEF]["content"], self._brief()
        if len(shorter) >= len(before):
            return False
        self._history.messages[BRIEF]["content"] = shorter
        self._note("shorter brief", characters=len(shorter), before=len(before))
        return True

    def _compact(self, share: float) -> bool:
        taken = self._history.compact(int(share * self._window))
        if taken:
            self.state.shown.clear()
        self._note("compacted", results=taken, tokens=self._history.tokens(), window=self._window)
        return taken > 0

    def _nudges(self) -> list[str]:
        nudge = self._around.nudge()
        return [f"The operator says: {nudge}"] if nudge else []

    def _say(self, sentences: list[str]) -> None:
        if sentences:
            self._add({"role": "user", "content": "\n".join(sentences)})

    def _add(self, message: dict[str, Any], **facts: object) -> None:
        self._history.add(message)
        self._transcript.write("message", round=self.used.rounds, message=message, **facts)

    def _note(self, event: str, **facts: object) -> None:
        self._around.log("info", event, **facts)
        self._transcript.write("event", event=event, **facts)

    def _own_handoff(self, why: str) -> str:
        """The handoff for the next session if the model has written none."""
        state = self.state
        sentences = [f"The session ended without the model's handoff. {why}"]
        sentences.append(f"Proposed: {', '.join(state.proposed)}." if state.proposed else "Proposed nothing.")
        if state.directions:
            sentences.append(f"Directions admitted: {', '.join(state.directions)}.")
        if state.findings:
            sentences.append(f"Findings recorded: {', '.join(state.findings)}.")
        said = [one["content"] for one in self._history.messages if one["role"] == "assistant" and one["content"]]
        if said:
            sentences.append(f"Last output: {said[-1][:600]}")
        return handoff.cut(" ".join(sentences))
