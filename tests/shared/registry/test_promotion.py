"""Promotion, rollback and history on a real registry."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paddlepress.core.errors import PromotionRefused, RegistryError, UnknownName
from paddlepress.registry import tags
from paddlepress.registry.catalogue import row, rows
from paddlepress.registry.gates import Gate, Objective
from paddlepress.registry.history import Entry, history, now
from paddlepress.registry.policy import Policy, load_policy, store_policy
from paddlepress.registry.promotion import promote, rollback

AddVersion = Callable[..., int]
NAME = "digits"
POLICY = Policy(gates=(Gate(metric="drop", at_most=0.3),), objective=Objective(minimize="bytes"))


def aliases(client: Any) -> dict[str, int]:
    return {alias: int(version) for alias, version in client.get_registered_model(NAME).aliases.items()}


def test_a_better_variant_takes_over_and_the_history_tells(client: Any, home: Path, add: AddVersion) -> None:
    """Promotion moves the aliases and writes each decision down with its reason."""
    first = add("int8", drop=0.1, bytes=250)
    assert promote(client, home, NAME, POLICY).action == "promoted"
    assert aliases(client) == {"champion": first, "challenger": first}
    second = add("half", drop=0.2, bytes=200)
    add("sparse", drop=0.42, bytes=20)
    assert promote(client, home, NAME, POLICY).promote == second
    assert promote(client, home, NAME, POLICY).action == "kept"
    assert aliases(client) == {"champion": second, "challenger": second}
    told = history(client, NAME)
    assert [(entry.number, entry.action, entry.before, entry.after) for entry in told] == [
        (1, "promoted", None, first),
        (2, "promoted", first, second),
        (3, "kept", second, second),
    ]
    assert "bytes 200" in told[1].reason and "250" in told[1].reason
    assert told[1].gates == ("drop 0.2 points is at most 0.3",)
    kept = json.loads(client.get_registered_model(NAME).tags["paddlepress.decision.0002"])
    assert kept.keys() >= {"time", "action", "from", "to", "variant", "reason", "gates"}
    assert (kept["from"], kept["to"], kept["variant"]) == (first, second, "half")


def test_a_long_history_entry_fits_its_tag(client: Any, add: AddVersion) -> None:
    """An entry with many gates and a long reason is cut to what the narrowest registry column holds."""
    add("int8", drop=0.1, bytes=250)
    gates = tuple(f"{number}: {'x' * 100}" for number in range(200))
    entry = Entry(time=now(), action="refused", before=None, after=None, variant="int8", reason="y" * 9000, gates=gates)
    assert len(entry.tag()) <= 5000
    assert Entry.model_validate_json(entry.tag()).gates[0] == gates[0]


def test_a_refusal_by_name_is_raised_and_remembered(client: Any, home: Path, add: AddVersion) -> None:
    """Asking for a variant that misses a gate fails with gate, value and limit, and is in the history."""
    first = add("int8", drop=0.1, bytes=250)
    promote(client, home, NAME, POLICY)
    add("sparse", drop=0.42, bytes=20)
    with pytest.raises(PromotionRefused, match=r"^sparse: drop 0\.42 points is above its limit of 0\.3$"):
        promote(client, home, NAME, POLICY, "sparse")
    assert aliases(client)["champion"] == first
    assert history(client, NAME)[-1].action == "refused"
    with pytest.raises(UnknownName, match=r"unknown variant 'sprase'"):
        promote(client, home, NAME, POLICY, "sprase")


def test_rollback_goes_back_and_further_back(client: Any, home: Path, add: AddVersion) -> None:
    """Each rollback restores the champion before, until there is none, and promotion does not undo it."""
    versions = []
    for variant, size in (("int8", 250), ("half", 200), ("lowrank", 150)):
        versions.append(add(variant, drop=0.1, bytes=size))
        promote(client, home, NAME, POLICY)
    assert aliases(client)["champion"] == versions[2]
    assert rollback(client, home, NAME).champion == versions[1]
    assert promote(client, home, NAME, POLICY).action == "kept"
    assert rollback(client, home, NAME).reason == (
        f"int8 (version {versions[0]}) is champion again, half (version {versions[1]}) was rolled back"
    )
    assert aliases(client)["champion"] == versions[0]
    with pytest.raises(RegistryError, match="is the first champion of digits: there is none to go back to"):
        rollback(client, home, NAME)
    assert promote(client, home, NAME, POLICY, "lowrank").champion == versions[2]
    assert rollback(client, home, NAME).champion == versions[0]
    actions = [entry.action for entry in history(client, NAME)]
    assert actions == ["promoted"] * 3 + ["rolled-back", "kept", "rolled-back", "promoted", "rolled-back"]


def test_rollback_skips_a_version_that_was_deleted(client: Any, home: Path, add: AddVersion) -> None:
    """A former champion that is no longer in the registry is passed over."""
    versions = []
    for variant, size in (("int8", 250), ("half", 200), ("lowrank", 150)):
        versions.append(add(variant, drop=0.1, bytes=size))
        promote(client, home, NAME, POLICY)
    client.delete_model_version(NAME, str(versions[1]))
    assert rollback(client, home, NAME).champion == versions[0]


def test_an_alias_moved_by_hand_is_part_of_the_history(client: Any, home: Path, add: AddVersion) -> None:
    """What somebody does to the champion by hand is told, written down with the next decision, and rolled back."""
    first, second = add("int8", drop=0.1, bytes=250), add("half", drop=0.9, bytes=200)
    promote(client, home, NAME, POLICY)
    client.set_registered_model_alias(NAME, "champion", str(second))
    told = history(client, NAME)[-1]
    assert (told.number, told.action, told.before, told.after) == (2, "moved", first, second)
    assert (
        told.reason == f"the alias 'champion' was set by hand on half (version {second}), from int8 (version {first})"
    )
    assert "which fails today: drop 0.9" in promote(client, home, NAME, POLICY).reason
    assert [entry.action for entry in history(client, NAME)] == ["promoted", "moved", "promoted"]
    assert rollback(client, home, NAME).champion == second
    assert rollback(client, home, NAME).champion == first


def test_a_champion_without_alias_is_missed(client: Any, home: Path, add: AddVersion) -> None:
    """An alias that was taken away, and a champion that was deleted, leave a vacancy that other commands know of."""
    first, second = add("int8", drop=0.1, bytes=250), add("half", drop=0.1, bytes=200)
    promote(client, home, NAME, POLICY, "int8")
    promote(client, home, NAME, POLICY)
    client.delete_registered_model_alias(NAME, "champion")
    assert history(client, NAME)[-1].reason == f"the alias 'champion' was taken by hand from half (version {second})"
    assert rollback(client, home, NAME).reason == f"half (version {second}) is champion again"
    client.delete_model_version(NAME, str(second))
    assert history(client, NAME)[-1].reason == f"version {second}, the champion, was deleted by hand"
    decision = promote(client, home, NAME, POLICY)
    assert decision.champion == first
    assert decision.reason.startswith(
        f"int8 (version {first}) becomes champion, for version {second}, the champion, was deleted by hand: "
    )
    with pytest.raises(
        RegistryError, match=rf"before int8 \(version {first}\) is left .* version {second} was deleted"
    ):
        rollback(client, home, NAME)
    client.delete_model_version(NAME, str(first))
    with pytest.raises(RegistryError, match="no former champion of digits is left to go back to"):
        rollback(client, home, NAME)


@pytest.mark.parametrize("note", ["{", "deleted"])
def test_a_cut_off_decision_that_cannot_be_finished_is_dropped(
    client: Any, home: Path, add: AddVersion, note: str
) -> None:
    """A note that can't be read, or is about a deleted version, stands in no command's way and is written down."""
    first, second = add("int8", drop=0.1, bytes=250), add("half", drop=0.1, bytes=200)
    if note == "deleted":
        entry = Entry(time=now(), action="promoted", before=None, after=second, variant="half", reason="best")
        note = entry.model_copy(update={"challenger": second}).tag()
        client.delete_model_version(NAME, str(second))
    client.set_registered_model_tag(NAME, tags.PENDING, note)
    assert promote(client, home, NAME, POLICY).champion == (first if len(note) > 1 else second)
    assert [entry.action for entry in history(client, NAME)] == ["refused", "promoted"]
    assert "dropped" in history(client, NAME)[0].reason or "was deleted" in history(client, NAME)[0].reason
    assert tags.PENDING not in client.get_registered_model(NAME).tags


def test_an_unreadable_decision_hides_no_other(client: Any, home: Path, add: AddVersion) -> None:
    """A decision that somebody overwrote is left out; the others are told, and no number is given twice."""
    first = add("int8", drop=0.1, bytes=250)
    promote(client, home, NAME, POLICY)
    promote(client, home, NAME, POLICY)
    client.set_registered_model_tag(NAME, f"{tags.DECISION}0002", "{")
    assert [(entry.number, entry.after) for entry in history(client, NAME)] == [(1, first)]
    promote(client, home, NAME, POLICY)
    assert [entry.number for entry in history(client, NAME)] == [1, 3]


def test_a_decision_that_was_cut_off_is_finished_by_the_next(client: Any, home: Path, add: AddVersion) -> None:
    """After a kill between the note and the aliases, the history and the aliases agree again."""
    first, second = add("int8", drop=0.1, bytes=250), add("half", drop=0.1, bytes=200)
    cut_off = Entry(time=now(), action="promoted", before=None, after=first, variant="int8", reason="by name")
    client.set_registered_model_tag(NAME, tags.PENDING, cut_off.tag())
    assert promote(client, home, NAME, POLICY).promote == second
    assert [(entry.before, entry.after) for entry in history(client, NAME)] == [(None, first), (first, second)]
    assert rollback(client, home, NAME).champion == first


def test_the_policy_outlives_the_recipe(client: Any, add: AddVersion) -> None:
    """Gates, objective and variants come back as they were; without them the message says what to do."""
    add("int8", drop=0.1, bytes=250)
    with pytest.raises(RegistryError, match="run its recipe first"):
        load_policy(client, NAME)
    gates = (*POLICY.gates, Gate(metric="accuracy", at_least=-0.3, against="champion"))
    long = Policy(
        gates=gates, objective=POLICY.objective, variants={f"variant-{n}-{'x' * 40}": f"{n:064x}" for n in range(200)}
    )
    for policy in (POLICY, long, POLICY):
        store_policy(client, NAME, policy)
        assert load_policy(client, NAME) == policy
        assert list(load_policy(client, NAME).variants) == list(policy.variants)
        kept = {key: tag for key, tag in client.get_registered_model(NAME).tags.items() if tags.POLICY in key}
        assert max(len(tag) for tag in kept.values()) <= tags.LENGTH
    assert list(kept) == [tags.POLICY]
    client.set_registered_model_tag(NAME, tags.POLICY, '{"gates": [')
    with pytest.raises(RegistryError, match=r"can't be read: .* Run its recipe again"):
        load_policy(client, NAME)


def test_only_the_policys_variants_are_candidates(client: Any, home: Path, add: AddVersion) -> None:
    """What an older recipe left in the registry is promoted by name only, and does not judge by its own base."""
    add("base", recipe="old", test_data="old", drop=0.0, bytes=1000)
    add("int8", recipe="new", drop=0.1, bytes=250)
    add("half", recipe="new", drop=0.1, bytes=200)
    add("base", recipe="new", drop=0.0, bytes=1000)
    add("int8", recipe="old", drop=0.1, bytes=10)
    add("tiny", recipe="new", drop=0.1, bytes=5)
    add("base", recipe="older", test_data="old", drop=0.0, bytes=1000)
    policy = POLICY.model_copy(update={"variants": dict.fromkeys(("base", "int8", "half"), "new")})
    decision = promote(client, home, NAME, policy)
    assert (decision.variant, set(decision.results)) == ("half", {"int8", "half"})
    assert decision.results["int8"].version == 2
    with pytest.raises(UnknownName, match="Valid: base, half, int8, tiny"):
        promote(client, home, NAME, policy, "tyni")


def test_unknown_names_list_the_valid_ones(client: Any, home: Path, add: AddVersion) -> None:
    """A model or variant that is not registered is refused with those that are."""
    add("int8", drop=0.1, bytes=250)
    for ask in (
        lambda: rows(client, "digit"),
        lambda: history(client, "digit"),
        lambda: promote(client, home, "digit", POLICY),
        lambda: rollback(client, home, "digit"),
    ):
        with pytest.raises(UnknownName, match=r"unknown registered model 'digit'\. Did you mean 'digits'\?"):
            ask()
    with pytest.raises(UnknownName, match=r"unknown variant of digits 'int4'.* Valid: int8"):
        row(client, NAME, "int4")
    with pytest.raises(RegistryError, match="has no champion to roll back"):
        rollback(client, home, NAME)


def test_the_catalogue_has_the_newest_of_each_variant(client: Any, add: AddVersion) -> None:
    """One row per variant, the base first; a version registered again counts as its variant's newest."""
    old, base, new = (add(name, drop=0.1, bytes=size) for name, size in (("int8", 9), ("base", 99), ("int8", 8)))
    assert [found.version for found in rows(client, NAME)] == [base, new]
    client.set_model_version_tag(NAME, str(old), tags.REGISTERED_AT, now().isoformat())
    assert [found.version for found in rows(client, NAME)] == [base, old]
    assert [found.metrics["bytes"] for found in rows(client, NAME)] == [99, 9]


RACER = """
import sys
from pathlib import Path
from paddlepress.registry.connection import connect
from paddlepress.registry.gates import Gate, Objective
from paddlepress.registry.policy import Policy
from paddlepress.registry.promotion import promote
home, variants = Path(sys.argv[1]), sys.argv[2:]
client = connect(home)
print("ready", flush=True)
sys.stdin.readline()
policy = Policy(gates=[Gate(metric="drop", at_most=0.3)], objective=Objective(minimize="bytes"))
for turn in range(6):
    promote(client, home, "digits", policy, variants[turn % 2])
"""


def test_two_promoters_at_once_leave_one_champion(client: Any, home: Path, add: AddVersion) -> None:
    """Decisions of two processes come one after the other: no number is lost and each follows from the last."""
    for size, variant in enumerate(("a", "b", "c", "d")):
        add(variant, drop=0.1, bytes=100 + size)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(home), *pair], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for pair in (("a", "b"), ("c", "d"))
    ]
    for racer in racers:
        assert racer.stdout is not None and racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.communicate("go\n")
    assert [racer.returncode for racer in racers] == [0, 0]
    told = history(client, NAME)
    assert [entry.number for entry in told] == list(range(1, 13))
    assert [entry.before for entry in told[1:]] == [entry.after for entry in told[:-1]]
    assert aliases(client)["champion"] == told[-1].after
