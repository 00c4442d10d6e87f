"""Which file of a submission is which, by the rules' names or by the spellings that people use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from submission.checking.archive import Member
from submission.checking.findings import Findings
from submission.edition import EDITIONS, Edition, FileRule

Files = dict[FileRule, Member]


def guess_edition(members: Sequence[Member]) -> Edition | None:
    """The edition whose names most files have; None where no file has one."""
    fitting = {year: sum(_fits_one(edition, one) for one in members) for year, edition in EDITIONS.items()}
    year = max(fitting, key=lambda each: fitting[each])
    if not fitting[year]:
        texts = " ".join(one.path.lower() for one in members)
        found = [edition for edition in EDITIONS.values() if _named(edition, texts)]
        return found[0] if len(found) == 1 else None
    return EDITIONS[year]


def _fits_one(edition: Edition, member: Member) -> bool:
    return any(rule.fits(member.name) for rule in edition.files)


def _named(edition: Edition, texts: str) -> bool:
    words = ("gravitar", "pegasus") if edition.year == 2020 else ("part1", "part2", "walker")
    return any(word in texts for word in words)


def assign(members: Sequence[Member], edition: Edition, findings: Findings) -> Files:
    """Give each rule of an edition its file.

    Exact names come first, then names with the rule's words, then the only file of its kind. Folders, other names,
    missing and surplus files become findings.
    """
    files: Files = {}
    left = list(members)

    def take(rule: FileRule, member: Member) -> None:
        files[rule] = member
        left.remove(member)

    for rule in edition.files:
        exact = [one for one in left if rule.fits(one.name)]
        if len(exact) > 1:
            findings.fault(exact[1].path, f"is a second {rule.name}; the first is {exact[0].path}")
        if exact:
            take(rule, min(exact, key=lambda one: (one.path.count("/"), one.path)))
    # Files that are there now and then have telling names, so they are found before the others.
    for rule in sorted(edition.files, key=lambda rule: rule.required):
        named = [one for one in left if one.suffix in rule.suffixes and _has_word(one.path, rule.words)]
        if rule not in files and named:
            take(rule, named[0])
    for rule in edition.files:
        same = [one for one in left if one.suffix in rule.suffixes]
        rivals = [
            other
            for other in edition.files
            if other.required and other not in files and other.suffixes == rule.suffixes
        ]
        if rule.required and rule not in files and len(same) == len(rivals) == 1:
            take(rule, same[0])
    _report(files, left, edition, findings)
    return files


def _has_word(path: str, words: Sequence[str]) -> bool:
    return bool(set(re.split(r"[^a-z0-9]+", PurePosixPath(path).name.lower())) & set(words))


def _report(files: Files, left: Sequence[Member], edition: Edition, findings: Findings) -> None:
    folders = sorted({member.path.rpartition("/")[0] for member in files.values()} - {""})
    if folders:
        findings.warning(folders[0], "is a folder in the submission; the files belong at the top level")
    for rule in edition.files:
        if rule in files:
            if not rule.fits(files[rule].name):
                findings.warning(files[rule].path, f"taken for {rule.name}, whose name it does not have")
        elif rule.required:
            findings.fault(rule.name, "is missing")
    for member in left:
        source = member.suffix in (".py", ".ipynb")
        if source and not edition.more_code:
            findings.fault(member.path, "is a further source file, which the assignment does not allow")
        else:
            findings.warning(member.path, "is none of the files that the assignment names")
