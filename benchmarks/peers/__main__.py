"""One end of one measurement: `python -m benchmarks.peers PEER produce|consume URL PAYLOAD COUNT`.

It prints `ready`, waits for a line, works, and prints `done`, the clock, and the processor seconds that it has used
since it was ready. The clock is the machine's, so that the two ends' times can be compared.
"""

import sys
import time
from importlib import import_module
from typing import cast

from benchmarks.payloads import PAYLOADS
from benchmarks.peers import PEERS, Ends, Run


def main(name: str, end: str, url: str, payload: str, count: str) -> None:
    """Run one end."""
    peer = next(peer for peer in PEERS if peer.name == name)
    ends = cast(Ends, import_module(f"benchmarks.peers.{peer.module}"))
    watch = _Watch()
    run = Run(url, peer, PAYLOADS[payload], int(count), watch.ready, watch.done)
    if end == "produce":
        ends.produce(run)
    else:
        ends.consume(run)


class _Watch:
    """Tells the other side of the pipe when this end is ready and when it is done."""

    def ready(self) -> None:
        print("ready", flush=True)
        sys.stdin.readline()
        self._used_s = time.process_time()

    def done(self) -> None:
        print("done", time.monotonic(), time.process_time() - self._used_s, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
