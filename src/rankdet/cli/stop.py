"""Ctrl-C, SIGTERM and a closed terminal end the command without traceback or partial files."""

from __future__ import annotations

import os
import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(SystemExit):
    """A signal has ended the command; open files are closed and partial files removed."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.reason = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


def end_at_signals() -> None:
    """Make signals raise `Stopped` in this process; a second signal ends it immediately.

    An ignored signal stays ignored, as in a background command or under nohup.
    """
    owner = os.getpid()

    def end(number: int, frame: object) -> None:
        for each in SIGNALS:
            if signal.getsignal(each) is end:
                signal.signal(each, signal.SIG_DFL)
        if os.getpid() != owner:  # a data-loading process, which has nothing to clean up
            os.kill(os.getpid(), number)
            return
        raise Stopped(number)

    for number in SIGNALS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, end)
