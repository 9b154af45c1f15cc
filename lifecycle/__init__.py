"""What the steps do: runs, training, scoring, promotion, studies, and what they need of the store and the machine."""

import gc
import signal
import sys

# Importing MLflow and Keras makes a million objects that stay for good, and Python's collector walks all of them again
# and again meanwhile. Looking more rarely saves a second at every start.
gc.set_threshold(100_000, 100, 100)

# So does the import itself, and Ctrl-C meanwhile would show a traceback: there is nothing to tidy up yet, so it simply
# ends the process. Python calls itself "-m" until it has found the module to run; elsewhere signals are left alone.
if sys.argv[0] == "-m" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
