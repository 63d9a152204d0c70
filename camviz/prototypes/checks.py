"""What a bank of prototypes may hold: its file may have been made by anybody.

Each check yields what is wrong, in a few words; `check_bank` makes an error of them.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, get_args

import torch

from camviz.prototypes.prototype import (
    MEMBERS,
    MOST_CLUSTERS,
    MOST_PICTURES,
    BankSource,
    Kind,
    Member,
    Prototype,
    Scoring,
    StagePrototypes,
)

if TYPE_CHECKING:
    from camviz.prototypes.bank import PrototypeBank

LONGEST = 1000  # characters of a name
MOST_STAGES = 64
MOST_NUMBER = 2**53


def check_bank(bank: "PrototypeBank") -> None:
    """Raise ValueError with everything in a bank that cannot be."""
    wrong = list(_settings(bank))
    for name, stage in bank.stages.items():
        wrong += _stage(name, stage, len(bank.pictures))
    if wrong:
        raise ValueError(", ".join(dict.fromkeys(wrong)))


def _settings(bank: "PrototypeBank") -> Iterator[str]:
    for name in ("tau", "mu_f", "mu_b"):
        if not _is_share(getattr(bank, name)):
            yield name
    bounds = {"target": MOST_NUMBER, "clusters": MOST_CLUSTERS, "seed": MOST_NUMBER}
    for name, most in bounds.items():
        if not _is_whole(getattr(bank, name), most):
            yield name
    words: tuple[Any, ...] = (
        bank.label,
        bank.backbone,
        bank.digest,
        bank.tap,
        bank.fit,
        bank.normalisation,
    )
    words += (*bank.pictures, *(word for row in bank.skipped for word in row))
    if not all(map(_is_word, words)):
        yield "a name"
    if len(bank.pictures) > MOST_PICTURES or len(bank.skipped) > MOST_PICTURES:
        yield "too many pictures"
    if bank.split not in ("cam", "grad_cam") or bank.source not in get_args(BankSource):
        yield "its origin"
    if not 0 < len(bank.stages) <= MOST_STAGES or not all(map(_is_word, bank.stages)):
        yield "its stages"


def _stage(name: str, stage: StagePrototypes, pictures: int) -> Iterator[str]:
    if not bool(torch.isfinite(stage.vectors).all()):
        yield f"vectors at {name}"
    if stage.scoring not in get_args(Scoring) or not isinstance(stage.relaxed, bool):
        yield f"how {name} is scored"
    for prototype in stage.prototypes:
        placed = len(prototype.members) <= MEMBERS
        placed = placed and all(_is_place(member, pictures) for member in prototype.members)
        if not (_is_prototype(prototype) and placed):
            yield f"a prototype at {name}"


def _is_prototype(prototype: Prototype) -> bool:
    named = prototype.kind in get_args(Kind) and _is_word(prototype.name)
    scored = prototype.score is None or _is_share(prototype.score)
    counted = _is_whole(prototype.size, MOST_NUMBER) and isinstance(prototype.kept, bool)
    return named and scored and counted


def _is_place(member: Member, pictures: int) -> bool:
    numbers = (*member.cell, *member.box)
    near = isinstance(member.similarity, (int, float)) and -1.001 <= member.similarity <= 1.001
    return _is_whole(member.picture, pictures - 1) and near and all(_is_whole(n) for n in numbers)


def _is_share(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def _is_whole(value: Any, most: int = MOST_NUMBER) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST
