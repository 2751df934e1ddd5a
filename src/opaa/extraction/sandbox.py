"""What the child process gives up before it reads the first byte of a document (Linux).

Always: core files, writing to files, more than 128 open files, new privileges; it dies with its parent. Where the
kernel allows it without privileges or when OPAA runs as root: the network (a namespace of its own without any
interface). Where user namespaces are forbidden the child keeps the network; it then still has no address, secret or
environment variable of OPAA, and no library in it opens connections.
"""

import ctypes
import resource
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000


def enter_sandbox() -> bool:
    """Give up what a parser never needs. Returns whether the network is gone. Call before any thread starts."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return bool(libc.unshare(_CLONE_NEWNET) == 0 or libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0)
    except (OSError, AttributeError):
        return False


def limit_memory(memory_bytes: int) -> None:
    """Let the process take `memory_bytes` of address space beyond what it has now."""
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 -- no pathlib in the child's start-up
        pages = int(statm.read().split()[0])
    bound = pages * resource.getpagesize() + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (bound, resource.getrlimit(resource.RLIMIT_AS)[1]))


def limit_cpu(seconds: float) -> None:
    """Let the process use `seconds` more of CPU time; then the kernel ends it, even if nobody watches any more."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    bound = int(usage.ru_utime + usage.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (bound, resource.getrlimit(resource.RLIMIT_CPU)[1]))
