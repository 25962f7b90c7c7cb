"""Exit codes of the commands of datasets/."""

EXIT_OK = 0
EXIT_STOPPED = 2  # it could not start or go on; the message says why
EXIT_SOME_BAD = 3  # done, with some files that could not be used
EXIT_INTERRUPTED = 130
