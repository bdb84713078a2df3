"""A recipe that runs on this machine at set times: by systemd, or where that doesn't serve by cron."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from paddlepress.core import files
from paddlepress.core.errors import PaddlepressError, UnknownName, UsageError, in_one_line
from paddlepress_pipelines.cron import Cron

_MARKER = "# paddlepress schedule"
_PAUSED = "#paused "
_PREFIX = "paddlepress-"
_LONGEST_WAIT_S = 60


@dataclass(frozen=True)
class Timer:
    """A recipe that runs at set times on this machine.

    Attributes:
        recipe: the recipe's name.
        cron: when; None where somebody has changed it to what can't be read.
        enabled: whether it runs; a paused one does not.
        by: `systemd` or `crontab`.
        command: what is run.
    """

    recipe: str
    cron: Cron | None
    enabled: bool
    by: str
    command: str


def command_for(recipe: Path, home: Path) -> list[str]:
    """What runs a recipe, from whatever folder.

    Args:
        recipe: its file, or the name of one that ships.
        home: the home directory.
    """
    program = Path(sys.executable).parent / "paddlepress"
    start = (
        [str(program)]
        if program.exists()
        else [sys.executable, "-c", "from paddlepress_pipelines.cli import main; main()"]
    )
    return [*start, "run", str(recipe.absolute() if recipe.exists() else recipe), "--home", str(home.absolute())]


def put(recipe: str, cron: Cron, command: Sequence[str], folder: Path, log: Path) -> Timer:
    """Have a command run at some times, and a recipe by no other timer of this machine.

    Args:
        recipe: the recipe's name.
        cron: when, by this machine's clock.
        command: what runs the recipe.
        folder: where it is run: a recipe's paths may start from there.
        log: what it prints is added to this file.

    Raises:
        PaddlepressError: neither systemd nor cron is there, or they refuse.
        UsageError: a path has a line break in it.
    """
    for text in (*command, str(folder), str(log)):
        if "\n" in text or "\r" in text:
            raise UsageError(f"can't schedule {text!r}: a path with a line break fits no crontab and no unit")
    systemd = _systemd()
    if not (systemd or _has_crontab()):
        raise PaddlepressError("this machine has no systemd that answers this user, and no crontab: nothing can run it")
    with files.writing(log):
        log.parent.mkdir(parents=True, exist_ok=True)
    if systemd:
        timer = _Systemd().put(recipe, cron, command, folder, log)
        if _has_crontab():
            _Crontab().remove(recipe)
        return timer
    return _Crontab().put(recipe, cron, command, folder, log)


def listed() -> list[Timer]:
    """All recipes that run at set times on this machine, by their names."""
    return sorted((timer for keeper in _keepers() for timer in keeper.listed()), key=lambda one: one.recipe)


def switch(recipe: str, *, enabled: bool) -> Timer:
    """Have a recipe not run at its times, or run again.

    Raises:
        UnknownName: it has no timer.
        PaddlepressError: systemd or cron refuses.
    """
    for keeper in _known(recipe):
        keeper.switch(recipe, enabled=enabled)
    return next(timer for timer in listed() if timer.recipe == recipe)


def delete(recipe: str) -> None:
    """Have a recipe run no more; a run that is at work goes on.

    Raises:
        UnknownName: it has no timer.
        PaddlepressError: systemd or cron refuses.
    """
    for keeper in _known(recipe):
        keeper.remove(recipe)


def _known(recipe: str) -> list[_Systemd | _Crontab]:
    keepers = _keepers()
    found = [keeper for keeper in keepers if any(timer.recipe == recipe for timer in keeper.listed())]
    if not found:
        raise UnknownName("schedule", recipe, {timer.recipe for timer in listed()}, "on this machine")
    return found


def _keepers() -> list[_Systemd | _Crontab]:
    return [*([_Systemd()] if _systemd() else []), *([_Crontab()] if _has_crontab() else [])]


class _Systemd:
    """Timers of the user's own systemd."""

    def __init__(self) -> None:
        home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
        self.folder = Path(home) / "systemd" / "user"

    def put(self, recipe: str, cron: Cron, command: Sequence[str], folder: Path, log: Path) -> Timer:
        """Write both units, and have them count."""
        service, timer = self._units(recipe)
        start = " ".join(_quoted(part) for part in command)
        calendars = "\n".join(f"OnCalendar={calendar}" for calendar in cron.calendars())
        head = f"{_MARKER} {recipe}: {cron.text}\n[Unit]\nDescription=paddlepress runs {recipe}\n\n"
        texts = {
            service: f"{head}[Service]\nType=oneshot\nWorkingDirectory={_path(folder)}\nExecStart={start}\n"
            f"StandardOutput=append:{_path(log)}\nStandardError=append:{_path(log)}\n",
            timer: f"{head}[Timer]\n{calendars}\nPersistent=true\n\n[Install]\nWantedBy=timers.target\n",
        }
        before = {path: path.read_text(encoding="utf-8") for path in texts if path.exists()}
        try:
            for path, text in texts.items():
                files.write_text(path, text)
            _run("systemctl", "--user", "daemon-reload")
            _run("systemctl", "--user", "enable", timer.name)
            _run("systemctl", "--user", "restart", timer.name)  # one that runs already would keep its former times
        except PaddlepressError:
            for path in texts:
                path.unlink(missing_ok=True)
            for path, text in before.items():
                files.write_text(path, text)
            raise
        return Timer(recipe, cron, True, "systemd", shlex.join(command))

    def listed(self) -> list[Timer]:
        found = []
        for path in sorted(self.folder.glob(f"{_PREFIX}*.timer")):
            recipe, text = path.stem.removeprefix(_PREFIX), path.read_text(encoding="utf-8", errors="replace")
            stated = re.match(rf"{_MARKER} {re.escape(recipe)}: (.+)", text)
            if stated is None:
                continue
            started = re.search("^ExecStart=(.*)$", _text(path.with_suffix(".service")), re.MULTILINE)
            state = _run("systemctl", "--user", "is-enabled", path.name, check=False).stdout.strip()
            command = started[1] if started else ""
            found.append(Timer(recipe, _readable(stated[1]), state == "enabled", "systemd", command))
        return found

    def switch(self, recipe: str, *, enabled: bool) -> None:
        _run("systemctl", "--user", "enable" if enabled else "disable", "--now", self._units(recipe)[1].name)

    def remove(self, recipe: str) -> None:
        service, timer = self._units(recipe)
        if not timer.exists():
            return
        _run("systemctl", "--user", "disable", "--now", timer.name)
        for path in (timer, service):
            path.unlink(missing_ok=True)
        _run("systemctl", "--user", "daemon-reload")

    def _units(self, recipe: str) -> tuple[Path, Path]:
        return self.folder / f"{_PREFIX}{recipe}.service", self.folder / f"{_PREFIX}{recipe}.timer"


class _Crontab:
    """Lines of the user's crontab that end in a comment of ours; all others stay as they are, byte for byte."""

    def put(self, recipe: str, cron: Cron, command: Sequence[str], folder: Path, log: Path) -> Timer:
        line = f"cd {shlex.quote(str(folder))} && {shlex.join(command)} >> {shlex.quote(str(log))} 2>&1"
        # To cron `%` is a line break.
        wanted = f"{cron.text} {line.replace('%', chr(92) + '%')} {_MARKER} {recipe}"
        self._write([*self._others(recipe), wanted])
        return Timer(recipe, cron, True, "crontab", line)

    def listed(self) -> list[Timer]:
        found = []
        for line in self._lines():
            if match := re.fullmatch(rf"({_PAUSED})?((?:\S+\s+){{5}})(.*) {_MARKER} (\S+)", line):
                command = match[3].replace("\\%", "%")
                found.append(Timer(match[4], _readable(match[2]), match[1] is None, "crontab", command))
        return found

    def switch(self, recipe: str, *, enabled: bool) -> None:
        def switched(line: str) -> str:
            bare = line.removeprefix(_PAUSED)
            return bare if enabled else f"{_PAUSED}{bare}"

        self._write([switched(line) if self._is_of(line, recipe) else line for line in self._lines()])

    def remove(self, recipe: str) -> None:
        left = self._others(recipe)
        if left != self._lines():
            self._write(left)

    def _others(self, recipe: str) -> list[str]:
        return [line for line in self._lines() if not self._is_of(line, recipe)]

    def _is_of(self, line: str, recipe: str) -> bool:
        return line.endswith(f" {_MARKER} {recipe}")

    def _lines(self) -> list[str]:
        """All lines; none where there is no crontab.

        Raises:
            PaddlepressError: it can't be read, and so must not be written.
        """
        done = _run("crontab", "-l", check=False)
        if done.returncode == 0:
            return done.stdout.removesuffix("\n").split("\n") if done.stdout else []
        if "no crontab" in done.stderr.lower():
            return []
        raise PaddlepressError(f"crontab -l failed, so that nothing was changed: {_said(done)}")

    def _write(self, lines: Sequence[str]) -> None:
        """Have these lines be the crontab, which cron takes whole or not at all."""
        _run("crontab", "-", given="".join(f"{line}\n" for line in lines))


def _systemd() -> bool:
    """Whether this user has a systemd that answers, which a container or a bare login has not."""
    return _there("systemctl") and _run("systemctl", "--user", "show-environment", check=False).returncode == 0


def _has_crontab() -> bool:
    return _there("crontab")


def _there(program: str) -> bool:
    from shutil import which

    return which(program) is not None


def _run(*command: str, given: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program of the system.

    Raises:
        PaddlepressError: it is not there, does not end or, if that is checked, fails.
    """
    try:
        done = subprocess.run(
            command,
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",  # somebody's lines come back as they were
            env={**os.environ, "LC_ALL": "C"},
            check=False,
            timeout=_LONGEST_WAIT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PaddlepressError(f"{shlex.join(command)} failed: {in_one_line(error, 200)}") from None
    if check and done.returncode != 0:
        raise PaddlepressError(f"{shlex.join(command)} failed: {_said(done)}")
    return done


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return in_one_line(done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}", 200)


def _readable(text: str) -> Cron | None:
    try:
        return Cron.parse(text)
    except UsageError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _quoted(part: str) -> str:
    """A word of `ExecStart=`: quotes, backslashes, `%` and `$` have a meaning there."""
    escaped = part.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


def _path(path: Path) -> str:
    """A path of a unit: only `%` has a meaning there."""
    return str(path).replace("%", "%%")
