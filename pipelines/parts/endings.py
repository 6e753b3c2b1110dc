"""Ends of a program with one line."""

import sys


def ending(line: str, code: int) -> SystemExit:
    """Prints a line to the standard error and returns the exception that ends it.

    Args:
      line: message.
      code: exit code.
    """
    print(line, file=sys.stderr)
    end = SystemExit(line)
    end.code = code  # a line would make it 1
    return end
