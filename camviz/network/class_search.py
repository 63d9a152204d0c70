"""Finding classes by their names: exact ones, everyday words, parts, words in any order."""

from collections.abc import Sequence

# What ImageNet has in kinds only, or under a rarer word: everyday name -> the labels that it means.
EVERYDAY = {
    "house cat": ("tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat"),
    "horse": ("sorrel",),
    "cow": ("ox",),
    "sheep": ("ram", "bighorn"),
    "rooster": ("cock",),
    "chicken": ("cock", "hen"),
    "airplane": ("airliner", "warplane"),
    "sofa": ("studio couch",),
    "fridge": ("refrigerator",),
    "wading bird": ("crane (134)",),  # two classes have the one name "crane"
    "lifting machine": ("crane (517)",),
}


def everyday_names(label: str) -> list[str]:
    """The everyday words that mean a class, among others perhaps."""
    return [name for name, labels in EVERYDAY.items() if label in labels]


def named_exactly(text: str, labels: Sequence[str], synonyms: Sequence[Sequence[str]]) -> list[int]:
    """The classes of that very name, by label, else by synonym; upper or lower case."""
    text = text.strip().casefold()
    found = [i for i, label in enumerate(labels) if label.casefold() == text]
    return found or [
        i for i, names in enumerate(synonyms) if text in (name.casefold() for name in names)
    ]


def named_partly(text: str, labels: Sequence[str], synonyms: Sequence[Sequence[str]]) -> list[int]:
    """The classes that an everyday word means; else those with the text in a name, names that
    begin with it first; else those with all of its words in one name, in any order.
    """
    text = text.strip().casefold()
    words = text.split()
    if not words:
        return []
    meant = EVERYDAY.get(text, ())
    found = [i for i, label in enumerate(labels) if label in meant]
    if found:
        return found
    folded = [[name.casefold() for name in names] for names in synonyms]
    found = [i for i, names in enumerate(folded) if any(text in name for name in names)]
    if found:
        return sorted(found, key=lambda i: not any(n.startswith(text) for n in folded[i]))
    return [
        i for i, names in enumerate(folded) if any(all(w in name for w in words) for name in names)
    ]
