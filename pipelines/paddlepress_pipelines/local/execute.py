"""Execute one task of a compiled pipeline in a process of its own."""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kfp import dsl
from kfp.dsl.executor import create_artifact_instance
from kfp.local import executor_input_utils, executor_output_utils, placeholder_utils
from kfp.local.subprocess_task_handler import replace_python_executable

from paddlepress import runtime
from paddlepress.errors import PaddlepressError
from paddlepress.progress import Lines
from paddlepress_components.entry import ERROR_PREFIX
from paddlepress_pipelines.local.spec import TaskSpec

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
    """

    def __init__(
        self, task: TaskSpec, inputs: Mapping[str, dict[str, Any]], directory: Path, environment: Mapping[str, str]
    ) -> None:
        self.task = task
        self.directory = directory
        self.log = directory / "task.log"
        self.environment = environment
        self.process: subprocess.Popen[str] | None = None
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
            TaskFailed: the process ended with an error.
        """
        error = ""
        with self.log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env={**os.environ, **runtime.subprocess_environment(), **self.environment},
                start_new_session=True,  # so that Ctrl-C reaches the run alone, which then ends its tasks
                preexec_fn=_die_with_parent,
            )
            assert self.process.stdout is not None
            for line in self.process.stdout:
                if match := _PROGRESS.match(line.rstrip()):
                    on_progress(int(match[1]), int(match[2]), match[3])
                    continue
                log.write(line)
                if line.startswith(ERROR_PREFIX):
                    error = line.removeprefix(ERROR_PREFIX).strip()
            code = self.process.wait()
        if code != 0:
            message = error or f"it ended with exit code {code} and no message"
            raise TaskFailed(self.task, message, 2 if code == 2 and error else 1, self.log)
        return self._outputs()

    def stop(self) -> None:
        """End the process and everything it started."""
        if self.process is not None and self.process.poll() is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                return

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
