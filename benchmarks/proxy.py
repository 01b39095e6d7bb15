"""`python -m benchmarks.proxy`: what the LLM proxy adds to a call, and how many calls it carries.

Run by hand and for each release. Client, proxy and provider are three processes on one machine, and the accounting is
on. Each run asks the provider directly and through the proxy, in turn: first one call after the other (latency), then
several at once (throughput).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlsplit

from benchmarks.campaigns.proxy_processes import MODEL, TOKEN
from benchmarks.report import Goal, Report, emit

AT_ONCE = 16
GOAL_ADDED_MS, GOAL_RATE = 10.0, 150.0
BODY = json.dumps(
    {"model": MODEL, "max_tokens": 500, "messages": [{"role": "user", "content": "word " * 500}]}
).encode()


@dataclass(frozen=True, slots=True)
class Times:
    """Of one run."""

    direct: list[float]
    """Seconds of each call, one after the other."""
    proxied: list[float]
    rate: float
    """Calls a second through the proxy, several at once."""
    direct_rate: float


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--calls", type=int, default=500, help="of each kind in a run")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="rloop-proxy-") as folder,
        _process("provider") as provider,
        _process("proxy", provider, str(Path(folder, "run"))) as proxy,
    ):
        asyncio.run(measure(provider, proxy, options.calls // 5))  # what only happens once is over
        runs = []
        for number in range(options.runs):
            runs.append(asyncio.run(measure(provider, proxy, options.calls)))
            added, rate = _p99(runs[-1].proxied) - _p99(runs[-1].direct), runs[-1].rate
            print(f"run {number + 1}: p99 {added:+.2f} ms, {rate:.0f} calls/s", file=sys.stderr)
    figures, goals = result(runs)
    emit(Report("proxy", figures, goals), as_json=options.json, check=options.check)


@contextlib.contextmanager
def _process(*arguments: str) -> Iterator[str]:
    """A server of `proxy_processes`, and its URL."""
    command = [sys.executable, "-m", "benchmarks.campaigns.proxy_processes", *arguments]
    with (
        tempfile.TemporaryFile() as lines,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=lines, text=True) as process,
    ):
        assert process.stdout is not None
        assert process.stdin is not None
        url = process.stdout.readline().strip()
        if not url:
            lines.seek(0)
            sys.exit(f"the {arguments[0]} did not start:\n{lines.read().decode(errors='replace')}")
        try:
            yield url
        finally:
            process.stdin.close()


async def measure(provider: str, proxy: str, calls: int) -> Times:
    """One run."""
    direct, proxied = await _calls(provider, calls), await _calls(proxy, calls)
    return Times(direct, proxied, rate=await _rate(proxy, calls), direct_rate=await _rate(provider, calls))


async def _rate(url: str, calls: int) -> float:
    begin = time.perf_counter()
    await asyncio.gather(*(_calls(url, calls // AT_ONCE) for _ in range(AT_ONCE)))
    return calls // AT_ONCE * AT_ONCE / (time.perf_counter() - begin)


async def _calls(url: str, calls: int) -> list[float]:
    """Seconds of each call, over one connection. As little as speaks HTTP: the machine's time is the proxy's."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    request = (
        f"POST {place.path}/chat/completions HTTP/1.1\r\nhost: {place.netloc}\r\nauthorization: Bearer {TOKEN}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(BODY)}\r\n\r\n"
    ).encode() + BODY
    found = []
    for _ in range(calls):
        begin = time.perf_counter()
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        answer = await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
        found.append(time.perf_counter() - begin)
        if not head.startswith(b"http/1.1 200"):
            sys.exit(f"{url} answered {answer.decode(errors='replace')[:500]}")
    writer.close()
    return found


def result(runs: list[Times]) -> tuple[dict[str, Any], list[Goal]]:
    """Figures and goals: each run has its own p99, and their median counts."""
    added = [_p99(run.proxied) - _p99(run.direct) for run in runs]
    rates = [run.rate for run in runs]
    figures = {
        "addedMsAtP99": _spread(added),
        "addedMsMedian": _spread([1000 * (median(run.proxied) - median(run.direct)) for run in runs]),
        "directMsAtP99": _spread([_p99(run.direct) for run in runs]),
        "callsPerSecond": _spread(rates),
        "directCallsPerSecond": _spread([run.direct_rate for run in runs]),
        "atOnce": AT_ONCE,
    }
    return figures, [
        Goal("added latency, p99, ms", round(median(added), 2), f"<= {GOAL_ADDED_MS}", median(added) <= GOAL_ADDED_MS),
        Goal("calls a second, accounting on", round(median(rates), 1), f">= {GOAL_RATE}", median(rates) >= GOAL_RATE),
    ]


def _p99(seconds: list[float]) -> float:
    """In milliseconds."""
    return 1000 * quantiles(seconds, n=100, method="inclusive")[98]


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": round(median(values), 2), "min": round(min(values), 2), "max": round(max(values), 2)}


if __name__ == "__main__":
    main()
