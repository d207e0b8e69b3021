"""The errors a user can meet. Each carries one clear line: what is wrong, the value, what is allowed."""


class AnalogMGDError(Exception):
    """Base of every error the package raises on purpose; its text is one line."""


class ConfigError(AnalogMGDError, ValueError):
    """A setting, argument or input array is not usable. The command line exits with 2."""


class ConvergenceError(AnalogMGDError, ArithmeticError):
    """An iteration stopped short of its tolerance, with `residual` volts left. The command line exits with 1."""

    def __init__(self, message: str, residual: float) -> None:
        super().__init__(message)
        self.residual = residual


class DataError(ConfigError):
    """A data set cannot be found, read or used."""


class FetchError(AnalogMGDError, OSError):
    """A file cannot be downloaded. The command line exits with 1."""


class ClusterError(AnalogMGDError, OSError):
    """A Dask cluster cannot be reached or used, or has gone. The command line exits with 1."""


class TraceError(AnalogMGDError, OSError):
    """A trace file cannot be written or read. The command line exits with 1."""


class AnalogMGDWarning(UserWarning):
    """A run that is allowed but will probably not do what is meant; its text is one line."""
