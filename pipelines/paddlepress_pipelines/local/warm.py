"""Short tasks without an interpreter's start each: one process has imported what they need, and forks for them.

Where that can't be (no Linux, a Paddle for GPUs, whose contexts don't survive a fork, or a module that leaves a thread
running), and for every task that does not say that it is short, a task starts an interpreter of its own as ever.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Collection, Mapping, Sequence
from typing import TextIO

from paddlepress.core import compute
from paddlepress_pipelines.local.fork_server import READY

_RUNS = "-m kfp.dsl.executor_main"
"""In the command of a component that is a Python function."""


class Served:
    """A task's process that the server forked; what of `subprocess.Popen` an execution uses.

    Attributes:
        pid: of the process, which leads a group of its own.
        stdout: what it prints.
    """

    def __init__(self, pid: int, stdout: TextIO, told: TextIO) -> None:
        self.pid = pid
        self.stdout = stdout
        self._told = told
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code, if somebody has waited for it."""
        return self._code

    def wait(self) -> int:
        """Wait for the end; the exit code, negative for a signal as `subprocess` gives it."""
        if self._code is None:
            line = self._told.readline()
            self._told.close()
            # The server dies of SIGKILL only, and takes its children along.
            self._code = int(line) if line.strip() else -signal.SIGKILL
        return self._code


class Server:
    """The process that forks; it starts with the first task, and ends with the run.

    Args:
        modules: what it imports.
        environment: variables for it, beside this process's own; a task's may differ in what no module reads when it is
            imported.
    """

    def __init__(self, modules: Collection[str], environment: Mapping[str, str]) -> None:
        self.modules = tuple(modules)
        self.environment = environment
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._fit = False
        self._given_up = not (self.modules and sys.platform == "linux" and hasattr(os, "pidfd_open"))

    def start(self) -> None:
        """Begin to import; what is asked of it meanwhile waits."""
        with self._lock:
            if self._given_up or self._process is not None:
                return
            ours, theirs = socket.socketpair()
            with theirs:
                command = [sys.executable, "-m", "paddlepress_pipelines.local.fork_server", str(theirs.fileno())]
                try:
                    self._process = subprocess.Popen(
                        [*command, *self.modules],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                        env={
                            **os.environ,
                            **compute.subprocess_environment(),
                            **self.environment,
                            "_KFP_RUNTIME": "true",  # Kubeflow then imports what executes tasks, and no compiler
                        },
                        pass_fds=[theirs.fileno()],
                        start_new_session=True,
                    )
                except OSError:
                    ours.close()
                    self._given_up = True
                    return
            self._socket = ours

    def serve(self, command: Sequence[str], environment: Mapping[str, str]) -> Served | None:
        """Have a task done; None if it has to start by itself.

        Args:
            command: a component's, placeholders replaced.
            environment: all of its variables.
        """
        task = _function(command)
        if task is None or not self._ready():
            return None
        source, arguments = task
        content = {"source": source, "arguments": arguments, "environment": {**environment, "_KFP_RUNTIME": "true"}}
        request = os.memfd_create("task")
        output, printed = os.pipe()
        ends, told = os.pipe()
        try:
            with os.fdopen(os.dup(request), "w", encoding="utf-8") as stream:
                json.dump(content, stream)
            os.lseek(request, 0, os.SEEK_SET)
            with self._lock:
                assert self._socket is not None
                socket.send_fds(self._socket, [b"t"], [request, printed, told])
        except OSError:
            self._given_up = True
            for one in (output, ends):
                os.close(one)
            return None
        finally:
            for one in (request, printed, told):
                os.close(one)
        telling = os.fdopen(ends, encoding="utf-8")
        pid = telling.readline()
        if not pid.strip():  # it ended before it forked
            self._given_up = True
            telling.close()
            os.close(output)
            return None
        return Served(int(pid), os.fdopen(output, encoding="utf-8", errors="replace"), telling)

    def stop(self) -> None:
        """End the process, and with it the tasks that it serves."""
        self._given_up = True
        process = self._process
        if process is not None:
            process.kill()  # at once: somebody may hold the lock who waits for its imports
            process.wait()
        with self._lock:
            if self._socket is not None:
                self._socket.close()

    def _ready(self) -> bool:
        """Whether it serves; waits for its imports."""
        self.start()
        with self._lock:
            if self._given_up or self._socket is None:
                return False
            if not self._fit:
                self._fit = self._socket.recv(1) == READY
                self._given_up = self._given_up or not self._fit
            return self._fit and not self._given_up


def _function(command: Sequence[str]) -> tuple[str, list[str]] | None:
    """The source of the component that a command runs, and the executor's arguments; None of any other command."""
    shell, options, script, *rest = [*command, "", "", ""][: max(3, len(command))]
    if (shell, options) != ("sh", "-ec") or _RUNS not in script or not rest:
        return None
    return rest[0], rest[1:]
