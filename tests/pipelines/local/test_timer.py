"""A recipe at set times on this machine, by a systemd and a crontab that write down what they are given."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli import Done, in_this_process

RECIPE = """\
name: small
data: {source: digits, limit: 200, test_limit: 100, calibration: 50}
base: {architecture: mlp}
variants:
  sparse:
    - prune-weights: {sparsity: 0.8, recovery_epochs: 0}
"""
# Each keeps its state in a folder beside it: what it was asked, and what it was given.
CRONTAB = """\
#!/bin/sh
echo "$@" >> "$0.asked"
[ -e "$0.broken" ] && { echo "crontab: cannot open spool" >&2; exit 1; }
if [ "$1" = -l ]; then
  [ -e "$0.lines" ] || { echo "no crontab for somebody" >&2; exit 1; }
  cat "$0.lines"
else
  cat > "$0.lines"
fi
"""
SYSTEMCTL = """\
#!/bin/sh
echo "$@" >> "$0.asked"
[ -e "$0.broken" ] && [ "$2" = "$(cat "$0.broken")" ] && { echo "Failed to $2: no bus" >&2; exit 1; }
case "$2" in
  enable) for unit; do :; done; touch "$0.on.$unit" ;;
  disable) for unit; do :; done; rm -f "$0.on.$unit" ;;
  is-enabled) if [ -e "$0.on.$3" ]; then echo enabled; else echo disabled; exit 1; fi ;;
esac
exit 0
"""
THEIRS = "# mine: 100 %\nMAILTO=me@example.org\n5 4 * * * backup --all # paddlepress schedule smaller\n\n  @daily x\n"


Command = Callable[..., Done]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where commands are started: a path with all that shells, cron and systemd take for something else."""
    path = tmp_path / "a 'b' $c %d"
    path.mkdir()
    (path / "small.yaml").write_text(RECIPE)
    return path


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """The first place in which programs are looked for, still empty."""
    path = tmp_path / "programs"
    path.mkdir()
    return path


@pytest.fixture
def command(
    tmp_path: Path, folder: Path, programs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs the command line where no program is found but those, `sh` and a few of its friends."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "cat", "touch", "rm"):
        (tools / name).symlink_to(Path("/bin") / name)
    monkeypatch.setenv("PATH", f"{programs}:{tools}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for variable in ("KF_PIPELINES_ENDPOINT", "PADDLEPRESS_HOME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> Done:
        return in_this_process(monkeypatch, capsys, *arguments)

    return run


def install(programs: Path, name: str, text: str) -> Path:
    path = programs / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def schedule(command: Command, *arguments: str) -> Done:
    return command("schedule", *(arguments or ("small.yaml", "--cron", "0 3 * * *")), "--local")


def rows(command: Command) -> list[dict[str, str]]:
    done = command("schedules", "--json")
    assert done.code == 0, done.err
    listed: list[dict[str, str]] = json.loads(done.out)
    return listed


def test_a_line_of_the_crontab(command: Command, programs: Path, folder: Path) -> None:
    """One line is added, once, whatever is scheduled anew; all others stay byte for byte."""
    lines = Path(f"{install(programs, 'crontab', CRONTAB)}.lines")
    lines.write_text(THEIRS)
    made = schedule(command)
    assert made.code == 0, made.err
    assert "Scheduled small by crontab: At 03:00 every day (0 3 * * *)" in made.out
    assert len(re.findall(r"[0-9] 03:00 [A-Z]", made.out)) == 3
    assert lines.read_text().startswith(THEIRS)
    (line,) = lines.read_text()[len(THEIRS) :].splitlines()
    assert line.startswith("0 3 * * * cd ") and line.endswith(" # paddlepress schedule small")
    schedule(command)
    assert lines.read_text() == f"{THEIRS}{line}\n"
    schedule(command, "small.yaml", "--cron", "0 5 * * 1")
    assert lines.read_text() == f"{THEIRS}0 5 * * 1 {line.removeprefix('0 3 * * * ')}\n"
    ours, theirs = rows(command)
    assert theirs["recipe"] == "smaller"
    assert (ours["recipe"], ours["state"], ours["cron"], ours["by"]) == ("small", "active", "0 5 * * 1", "crontab")
    assert ours["command"].startswith(f"cd {shlex.quote(str(folder))} && ")


def test_what_the_line_runs(command: Command, programs: Path, folder: Path) -> None:
    """Given to a shell as cron does, it runs the same recipe from the same folder, and keeps what is printed."""
    lines = Path(f"{install(programs, 'crontab', CRONTAB)}.lines")
    assert schedule(command).code == 0
    text = lines.read_text().removeprefix("0 3 * * * ").replace("\\%", "%")
    program = shlex.split(text)[3]
    assert Path(program).exists()
    echo = text.replace(shlex.quote(program), "printf '%s\\n' \"$PWD\"", 1)
    subprocess.run(["/bin/sh", "-c", echo], check=True, cwd="/")
    log = folder / ".paddlepress" / "schedules" / "small.log"
    assert log.read_text().splitlines() == [
        str(folder),
        "run",
        str(folder / "small.yaml"),
        "--home",
        str(folder / ".paddlepress"),
    ]


def test_a_crontab_is_paused_resumed_and_deleted(command: Command, programs: Path) -> None:
    """By the recipe's name or file; nobody else's line changes."""
    lines = Path(f"{install(programs, 'crontab', CRONTAB)}.lines")
    lines.write_text(THEIRS.removesuffix("\n"))  # a last line without an end gets one
    schedule(command)
    before = lines.read_text()
    assert "Paused small" in schedule(command, "small", "--pause").out
    assert lines.read_text() == before.replace("0 3 * * * cd", "#paused 0 3 * * * cd")
    assert {row["recipe"]: row["state"] for row in rows(command)} == {"small": "paused", "smaller": "active"}
    assert len(re.findall(r"[0-9] 03:00 [A-Z]", schedule(command, "small.yaml", "--resume").out)) == 3
    assert lines.read_text() == before
    assert schedule(command, "small", "--delete").code == 0
    assert lines.read_text() == THEIRS
    gone = schedule(command, "small", "--delete")
    assert gone.code == 2 and "on this machine: unknown schedule 'small'. Did you mean 'smaller'?" in gone.err


def test_a_crontab_that_can_not_be_read_is_not_written(command: Command, programs: Path) -> None:
    """Its lines would be lost."""
    crontab = install(programs, "crontab", CRONTAB)
    Path(f"{crontab}.lines").write_text(THEIRS)
    Path(f"{crontab}.broken").touch()
    done = schedule(command)
    assert done.code == 1
    assert "crontab -l failed, so that nothing was changed: crontab: cannot open spool" in done.err
    assert Path(f"{crontab}.lines").read_text() == THEIRS
    assert "-" not in Path(f"{crontab}.asked").read_text().split()


def test_a_timer_of_systemd(command: Command, programs: Path, tmp_path: Path, folder: Path) -> None:
    """Two units are written and count; scheduled anew they are replaced, and a line of the crontab goes."""
    crontab = install(programs, "crontab", CRONTAB)
    assert schedule(command).code == 0
    systemctl = install(programs, "systemctl", SYSTEMCTL)
    made = schedule(command, "small.yaml", "--cron", "30 4 1 * fri")
    assert made.code == 0, made.err
    assert "Scheduled small by systemd" in made.out and "enable-linger" in made.out
    assert Path(f"{crontab}.lines").read_text() == ""
    units = tmp_path / "config" / "systemd" / "user"
    assert {path.name for path in units.iterdir()} == {"paddlepress-small.service", "paddlepress-small.timer"}
    timer = (units / "paddlepress-small.timer").read_text()
    assert "\nOnCalendar=*-*-01 04:30:00\nOnCalendar=Fri *-*-* 04:30:00\n" in timer
    service = (units / "paddlepress-small.service").read_text()
    path = str(folder).replace("%", "%%")
    assert f"\nWorkingDirectory={path}\n" in service
    quoted = path.replace("$", "$$")
    assert f'" "run" "{quoted}/small.yaml" "--home" "{quoted}/.paddlepress"\n' in service
    asked = Path(f"{systemctl}.asked").read_text().splitlines()
    assert "--user daemon-reload" in asked and "--user enable paddlepress-small.timer" in asked
    schedule(command, "small.yaml", "--cron", "0 3 * * *")
    assert (units / "paddlepress-small.timer").read_text().count("OnCalendar=") == 1
    (row,) = rows(command)
    assert (row["recipe"], row["state"], row["cron"], row["by"]) == ("small", "active", "0 3 * * *", "systemd")


def test_a_timer_is_paused_resumed_and_deleted(command: Command, programs: Path, tmp_path: Path) -> None:
    """Deleted, nothing of it is left; other units stay."""
    install(programs, "systemctl", SYSTEMCTL)
    units = tmp_path / "config" / "systemd" / "user"
    units.mkdir(parents=True)
    for name in ("other.timer", "paddlepress-theirs.timer"):
        (units / name).write_text("[Timer]\nOnCalendar=daily\n")
    schedule(command)
    schedule(command, "small", "--pause")
    assert [row["state"] for row in rows(command)] == ["paused"]
    schedule(command, "small", "--resume")
    assert [row["state"] for row in rows(command)] == ["active"]
    assert schedule(command, "small", "--delete").code == 0
    assert rows(command) == []
    assert {path.name for path in units.iterdir()} == {"other.timer", "paddlepress-theirs.timer"}


def test_a_systemd_that_refuses_is_told(command: Command, programs: Path, tmp_path: Path) -> None:
    """One line, and no unit that will never run."""
    systemctl = install(programs, "systemctl", SYSTEMCTL)
    Path(f"{systemctl}.broken").write_text("enable")
    done = schedule(command)
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert "systemctl --user enable paddlepress-small.timer failed: Failed to enable: no bus" in line
    assert not list((tmp_path / "config").rglob("paddlepress-*"))


def test_a_systemd_that_does_not_answer_leaves_it_to_cron(command: Command, programs: Path) -> None:
    """As in a container."""
    systemctl = install(programs, "systemctl", SYSTEMCTL)
    Path(f"{systemctl}.broken").write_text("show-environment")
    install(programs, "crontab", CRONTAB)
    assert "Scheduled small by crontab" in schedule(command).out


def test_a_machine_with_neither_is_told(command: Command) -> None:
    """One line that names both, and nothing is left."""
    done = schedule(command)
    assert done.code == 1
    assert "this machine has no systemd that answers this user, and no crontab: nothing can run it" in done.err
    assert [path.name for path in Path.cwd().iterdir()] == ["small.yaml"]
    assert command("schedules").out == "paddlepress has scheduled nothing on this machine\n"


def test_the_registry_of_this_shell_is_pointed_out(
    command: Command, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cron will not know of it; what it is is not shown."""
    install(programs, "crontab", CRONTAB)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@mlflow")
    told = schedule(command).out
    assert "MLFLOW_TRACKING_URI is set here, and will not be there" in told and "secret" not in told


def test_a_recipe_that_ships_keeps_its_name(command: Command, programs: Path, folder: Path) -> None:
    """Whatever folder it is run from."""
    lines = Path(f"{install(programs, 'crontab', CRONTAB)}.lines")
    assert schedule(command, "digits", "--cron", "0 3 * * *").code == 0
    home = shlex.quote(str(folder / ".paddlepress"))
    assert f" run digits --home {home} >> " in lines.read_text().replace("\\%", "%")
