"""Running the commands of other firewalls, in the calling thread's network namespace."""

from typing import Final

from cni.errors import CNIError, Code

_DEADLINE_S: Final = 30.0


def call(*command: str, text: str = "") -> str:
    """Return what the command says; `text` is its standard input. Raises numbers 5 and 11."""
    import subprocess  # rarely needed, and costs an executable plugin milliseconds

    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=_DEADLINE_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CNIError(Code.TRY_AGAIN_LATER, f"{command[0]} does not answer") from error
    except OSError as error:
        raise CNIError(Code.IO_FAILURE, f"{command[0]} cannot be run", str(error)) from error
    if done.returncode:
        raise CNIError(Code.IO_FAILURE, f"{' '.join(command)} failed", done.stderr.strip())
    return done.stdout
