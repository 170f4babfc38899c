"""Ctrl-C, SIGTERM and a closed terminal end the command cleanly: no traceback, no part files."""

from __future__ import annotations

import os
import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(SystemExit):
    """A signal has ended the command; what is open is closed and part files are removed."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.reason = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


def end_at_signals() -> None:
    """Let signals raise `Stopped` in this process; a second one ends it at once.

    A signal that is ignored stays so, as of a command in the background or under nohup.
    """
    owner = os.getpid()

    def end(number: int, frame: object) -> None:
        for each in SIGNALS:
            if signal.getsignal(each) is end:
                signal.signal(each, signal.SIG_DFL)
        if os.getpid() != owner:  # a loading process, which has nothing to clean up
            os.kill(os.getpid(), number)
            return
        raise Stopped(number)

    for number in SIGNALS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, end)
