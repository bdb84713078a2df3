"""The process that serves short tasks: it has imported what they need once, and forks for each.

Run as `python -m paddlepress_pipelines.local.fork_server FD MODULE...` by `paddlepress_pipelines.local.warm`. A request
is a byte on a socket with three file descriptors: the task as JSON, where its output goes, and where its process id and
exit code are told. Each task is a child with an environment of its own; what it does to its memory, nobody else sees.

A fork has the calling thread only, so nothing may be imported here that leaves another running: the process looks at
that itself and serves nobody if one is left.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import json
import os
import selectors
import signal
import socket
import sys
import tempfile
import threading
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

_PRCTL_DEATH = 1
# Its library restarts it in the child by itself.
_HARMLESS = frozenset({"jemalloc_bg_thd"})
READY, UNFIT = b"r", b"u"


def main(descriptor: int, modules: list[str]) -> None:
    """Import, say that it is ready or unfit, and serve until the other side is gone."""
    die_with(os.getppid())
    connection = socket.socket(fileno=descriptor)
    try:
        prepare(modules)
        fit = not left_running()
    except Exception:  # a task of its own then says what is wrong
        fit = False
    connection.send(READY if fit else UNFIT)
    if fit:
        serve(connection)


def prepare(modules: list[str]) -> None:
    """Import what tasks need, with the settings that each of them would apply first."""
    from paddlepress.core import compute
    from paddlepress.registry import connection

    compute.prepare()
    connection.quieten()  # MLflow reads some of them when it is imported
    import kfp.dsl.executor_main  # noqa: F401

    for module in modules:
        import_module(module)
    paddle = sys.modules.get("paddle")
    if paddle is not None and paddle.is_compiled_with_cuda():
        raise RuntimeError("CUDA does not survive a fork")
    gc.collect()
    gc.freeze()  # collecting in a child would copy every page of what was imported


def left_running() -> bool:
    """Whether a thread is left that a fork would cut off; OpenBLAS ends its own before one."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    own = threading.get_native_id()
    names = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            if int(task.name) != own:
                names.append((task / "comm").read_text().strip())
    return threading.active_count() > 1 or not _HARMLESS.issuperset(names)


class Child(NamedTuple):
    """A task that runs.

    Attributes:
        pid: of its process.
        told: the descriptor on which that, and its exit code, are told.
    """

    pid: int
    told: int


def serve(connection: socket.socket) -> None:
    """Fork for each request, and tell each task's exit code, until nobody is there any more."""
    children: dict[int, Child] = {}  # by the descriptor that says when it ends
    with selectors.DefaultSelector() as waiting:
        waiting.register(connection, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                if key.fileobj is not connection:
                    waiting.unregister(key.fd)
                    end(children.pop(key.fd), key.fd)
                    continue
                message, given, _, _ = socket.recv_fds(connection, 1, 3)
                if not message:
                    return
                request, output, told = given
                # Of what the server has open, a task keeps its own output alone.
                others = (connection.fileno(), told, *children, *(child.told for child in children.values()))
                pid = begin(request, output, others)
                tell(told, pid)
                ended = os.pidfd_open(pid)
                children[ended] = Child(pid, told)
                waiting.register(ended, selectors.EVENT_READ)


def begin(request: int, output: int, others: tuple[int, ...]) -> int:
    """Fork for a request; gives the child's process id."""
    server = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        run(request, output, others, server)
    with suppress(OSError):  # the child was faster, or is gone
        os.setpgid(pid, pid)
    os.close(request)
    os.close(output)
    return pid


def end(child: Child, ended: int) -> None:
    """Tell that a task has ended."""
    _, status = os.waitpid(child.pid, 0)
    tell(child.told, os.waitstatus_to_exitcode(status))
    os.close(child.told)
    os.close(ended)


def tell(told: int, number: int) -> None:
    """Write a line; whoever asked may be gone."""
    with suppress(OSError):
        os.write(told, b"%d\n" % number)


def run(request: int, output: int, others: tuple[int, ...], server: int) -> NoReturn:
    """What a child does: become the process that the task would have had, and end as that would end."""
    die_with(server)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for descriptor in (output, *others):
        os.close(descriptor)
    with os.fdopen(request, encoding="utf-8") as stream:
        task: dict[str, Any] = json.load(stream)
    os.environ.clear()
    os.environ.update(task["environment"])
    tempfile.tempdir = None  # it follows the environment
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()  # each process has its own chance; Python's own follows a fork by itself
    code = execute(task["source"], task["arguments"])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def execute(source: str, arguments: list[str]) -> int:
    """Have Kubeflow's executor run a component; gives the exit code that its process would have."""
    from kfp.dsl import executor_main

    try:
        place = Path(tempfile.mkdtemp()) / "ephemeral_component.py"
        place.write_text(source, encoding="utf-8")
        sys.argv = ["executor_main", "--component_module_path", str(place), *arguments]
        executor_main.executor_main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    return code


def die_with(parent: int) -> None:
    """Have the kernel end this process when its parent ends; at once, if that is over."""
    ctypes.CDLL(None).prctl(_PRCTL_DEATH, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
