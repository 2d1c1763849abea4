"""How a process that works for another behaves: it ends with it, and leaves signals to it."""

import os
import signal
import threading
import time


def end_with(parent: int) -> None:
    """End this process when the one that started it was killed: nobody else would."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def ignore_signals() -> None:
    """Leave Ctrl-C to the driver: it decides what becomes of a shard."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
