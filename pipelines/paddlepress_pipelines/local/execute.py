"""Execute one task of a compiled pipeline in a process of its own."""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kfp import dsl
from kfp.dsl.executor import create_artifact_instance
from kfp.local import executor_input_utils, executor_output_utils, placeholder_utils
from kfp.local.subprocess_task_handler import replace_python_executable

from paddlepress.core import compute, files
from paddlepress.core.errors import PaddlepressError
from paddlepress.core.progress import Lines
from paddlepress_components.entry import ERROR_PREFIX
from paddlepress_pipelines.local.spec import TaskSpec
from paddlepress_pipelines.local.warm import Served, Server

LOG = "task.log"
"""What a task printed, in its folder of the cache."""

OnProgress = Callable[[int, int, str], None]

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PROGRESS = re.compile(rf"^{Lines.prefix} (\d+) (\d+) (.*)$")


class TaskFailed(PaddlepressError):
    """A task that ended with an error.

    Attributes:
        exit_code: 2 where the task said that the user made a mistake, else 1.
        log: the file with everything it printed.
    """

    def __init__(self, task: TaskSpec, message: str, exit_code: int, log: Path) -> None:
        super().__init__(message)
        self.task = task
        self.exit_code = exit_code
        self.log = log


class Execution:
    """A task as it runs.

    Args:
        task: the task.
        inputs: its input artifacts, as a finished task's outputs describe them.
        directory: where its outputs and `task.log` go.
        environment: variables for its process, beside this process's own.
        server: serves it if it is short; otherwise, and where there is none, it starts an interpreter of its own.
    """

    def __init__(
        self,
        task: TaskSpec,
        inputs: Mapping[str, dict[str, Any]],
        directory: Path,
        environment: Mapping[str, str],
        server: Server | None = None,
    ) -> None:
        self.task = task
        self.directory = directory
        self.log = directory / LOG
        self.environment = environment
        self.server = server
        self._process: subprocess.Popen[str] | Served | None = None
        self._stopped = False
        self._lock = threading.Lock()
        arguments = {**task.constants, **{name: _artifact(value) for name, value in inputs.items()}}
        self.executor_input = executor_input_utils.construct_executor_input(
            component_spec=task.component_spec,
            arguments=arguments,
            task_root=str(directory),
            block_input_artifact=False,
        )

    def run(self, on_progress: OnProgress) -> dict[str, dict[str, Any]]:
        """Run to the end; returns the outputs.

        Raises:
            TaskFailed: the process ended with an error, or could not be run.
        """
        try:
            return self._run(on_progress)
        except OSError as error:
            problem = files.disk_full(error, self.directory) or f"it could not be run: {error}"
            raise TaskFailed(self.task, str(problem), 1, self.log) from error
        finally:
            self.stop()

    def stop(self) -> None:
        """End the process and everything it started; one that has not begun will not begin."""
        with self._lock:
            self._stopped = True
            self._kill()

    def _kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _run(self, on_progress: OnProgress) -> dict[str, dict[str, Any]]:
        error = last = ""
        full = False
        with self.log.open("w", encoding="utf-8") as log:
            process = self._start()
            assert process.stdout is not None
            for line in process.stdout:
                if match := _PROGRESS.match(line.rstrip()):
                    on_progress(int(match[1]), int(match[2]), match[3])
                    continue
                log.write(line)
                last = line.strip() or last
                full = full or files.says_disk_full(line)
                if line.startswith(ERROR_PREFIX):
                    error = line.removeprefix(ERROR_PREFIX).strip()
            code = process.wait()
        if code != 0 and full and not error:
            places = self.directory, Path(self.environment.get("TMPDIR", self.directory))
            raise TaskFailed(self.task, str(files.no_room(*places)), 1, self.log)
        if code != 0:
            raise TaskFailed(self.task, error or _cause(code, last), 2 if code == 2 and error else 1, self.log)
        return self._outputs()

    def _start(self) -> subprocess.Popen[str] | Served:
        command = self._command()
        environment = {**os.environ, **compute.subprocess_environment(), **self.environment}
        # Without the lock: a server that is still importing must not keep anybody from stopping.
        served = self.server.serve(command, environment) if self.server and self.task.traits.modules else None
        with self._lock:
            self._process = served
            if self._stopped:
                self._kill()
                raise TaskFailed(self.task, "it was stopped before it began", 1, self.log)
            if served is not None:
                return served
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=environment,
                start_new_session=True,  # so that Ctrl-C reaches the run alone, which then ends its tasks
                preexec_fn=_die_with_parent,
            )
            return self._process

    def _command(self) -> list[str]:
        container = self.task.executor_spec.container
        resolved: list[str] = placeholder_utils.replace_placeholders(
            full_command=[*container.command, *container.args],
            executor_input_dict=executor_input_utils.executor_input_to_dict(
                executor_input=self.executor_input, component_spec=self.task.component_spec
            ),
            pipeline_resource_name=self.environment.get("PADDLEPRESS_RUN", "run"),
            task_resource_name=self.task.name,
            pipeline_root=str(self.directory.parent),
            unique_pipeline_id=self.environment.get("PADDLEPRESS_RUN", "run"),
        )
        # `exec` has Python take the shell's place: the kernel then ends Python itself with this run.
        direct = [part.replace("_KFP_RUNTIME=true python3", "_KFP_RUNTIME=true exec python3") for part in resolved]
        command: list[str] = replace_python_executable(direct, sys.executable)
        return command

    def _outputs(self) -> dict[str, dict[str, Any]]:
        outputs = executor_output_utils.get_outputs_for_task(
            executor_input=self.executor_input, component_spec=self.task.component_spec
        )
        described = {}
        for name, value in outputs.items():
            if not isinstance(value, dsl.Artifact):
                continue
            path = Path(value.uri)
            if not path.exists():  # metrics live in the artifact's metadata alone: give them a file
                path.write_text(json.dumps(value.metadata, indent=1), encoding="utf-8")
            described[name] = {"name": name, "uri": value.uri, "type": value.schema_title, "metadata": value.metadata}
        return described


def _cause(code: int, last: str) -> str:
    """Why a process ended that said nothing of its own: the signal, or the last line it printed."""
    if code < 0:
        hint = ", perhaps because memory ran out" if -code == signal.SIGKILL else ""
        return f"it was killed by {signal.Signals(-code).name}{hint}"
    return f"it ended with exit code {code}: {last or 'it printed nothing'}"


def _artifact(value: Mapping[str, Any]) -> Any:
    return create_artifact_instance(
        {
            "name": value["name"],
            "uri": value["uri"],
            "metadata": value["metadata"],
            "type": {"schemaTitle": value["type"]},
        }
    )


def _die_with_parent() -> None:
    """Have the kernel end the task if this run is killed: nobody else would."""
    if _LIBC is not None:
        _LIBC.prctl(1, signal.SIGKILL)
