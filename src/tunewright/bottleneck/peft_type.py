"""The name of our method among PEFT's."""

from __future__ import annotations

from enum import Enum
from typing import Any

from peft import PeftType


def with_member(types: type[Enum], name: str) -> Any:
    """The member `name` of an enumeration of strings, added where it is missing.

    `register_peft_method` accepts only members of `PeftType`, and Python has no public way to add one to a finished
    enumeration. So this does what the `enum` module does when it builds one; Python 3.11 to 3.13 keep the same books.
    """
    if name not in types.__members__:
        member: Any = str.__new__(types, name)  # type: ignore[type-var]
        member._name_ = member._value_ = name
        member.__objclass__ = types
        member._sort_order_ = len(types.__members__)
        setattr(types, name, member)  # before the next line, which makes the name read-only
        types._member_map_[name] = member
        types._member_names_.append(name)
        types._value2member_map_[name] = member
    return types[name]


# With our name in it: plain PEFT without `import tunewright` stops with KeyError: 'TUNEWRIGHT_BOTTLENECK', which tells
# what is missing, and a later method of PEFT can't be mistaken for ours.
PEFT_TYPE = with_member(PeftType, "TUNEWRIGHT_BOTTLENECK")
