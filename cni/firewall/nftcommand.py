"""Running nft(8) on the calling thread's network namespace, for what is worth a process."""

from typing import Final

from cni.errors import CNIError, Code

# A host that boots may first have to load its modules. Less than `NamespaceThread.call` waits.
_DEADLINE_S: Final = 20.0


def run(*words: str, script: str = "") -> str:
    """Return what nft says; `script` is its standard input. Raises numbers 50, 5 and 11."""
    import subprocess  # rarely needed, and costs an executable plugin milliseconds

    try:
        done = subprocess.run(
            ["nft", *words],
            input=script.encode(),
            capture_output=True,
            check=True,
            timeout=_DEADLINE_S,
        )
    except FileNotFoundError as error:
        hint = "install the package nftables"
        raise CNIError(Code.PLUGIN_NOT_AVAILABLE, "nft is not installed", hint) from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip()
        raise CNIError(Code.IO_FAILURE, "nft refused the rules", reason) from error
    except subprocess.TimeoutExpired as error:
        raise CNIError(Code.TRY_AGAIN_LATER, "nft does not answer") from error
    return done.stdout.decode(errors="replace")
