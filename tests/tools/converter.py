"""How the tests of the converters run them: in this process, for PyTorch takes seconds to start."""

import contextlib
import io
import os


class Converter:
    def __init__(self, main):
        self.main = main

    def __call__(self, *arguments, code=0):
        """What it writes to standard output and error."""
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            try:
                got = self.main([str(a) for a in arguments])
            except SystemExit as e:  # of argparse
                got = e.code
        assert got == code, f"exit code {got} instead of {code}: {arguments}\n{out.getvalue()}{err.getvalue()}"
        return out.getvalue(), err.getvalue()

    def refused(self, pattern, *arguments, code=3):
        """One line on standard error that says so, and nothing left behind."""
        before = set(os.listdir())
        out, err = self(*arguments, code=code)
        assert out == "" and err.count("\n") == 1, f"not one line on standard error alone: {out}{err}"
        assert pattern in err, f"the message does not say '{pattern}': {err}"
        assert set(os.listdir()) == before, f"left behind: {set(os.listdir()) - before}"
