"""A file that can't be changed as asked. One mistake ends the work: nothing is written then."""


class ManifestError(Exception):
    """The file, or a value in it, is not what it would have to be (exit 2). The message begins with FILE:LINE."""

    exit_code = 2

    def __init__(self, file: str, line: int, message: str) -> None:
        """line: counted from 1; 0 stands for the file as a whole."""
        super().__init__(f"{file}:{line}: {message}" if line else f"{file}: {message}")
        self.line = line
