"""One function per verb: load, call, write. The command line and Python callers share them."""
