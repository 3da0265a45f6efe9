import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Shells start background jobs with Ctrl-C switched off, and every process started here would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
