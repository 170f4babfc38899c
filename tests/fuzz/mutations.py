"""Valid JSON documents with a few places changed, so that they get past the first check."""

import copy

from hypothesis import strategies as st

ODD = [
    *(None, True, False, "", "0", "1", "é", "中", "\ud800", "\u2028", "a\nb", "x" * 3000),
    *(float("nan"), float("inf"), float("-inf"), -1, 0, 1, 2, 3, 0.5, -0.0, 1e-320, 1e9, 1e308),
    *(2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**400, 10**5000),
    *([], {}, [[]], [None], [1], [1, 2, 3, 4], [1e30] * 6, {"id": 1}, {"size": [3, 4]}),
]


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def places(document, limit=8):
    """Paths to all values of a document; of long lists the first few and the last."""
    found, stack = [], [()]
    while stack:
        path = stack.pop()
        value = at(document, path)
        if path:
            found.append(path)
        if isinstance(value, dict):
            stack += [(*path, key) for key in value]
        elif isinstance(value, list):
            chosen = range(len(value)) if len(value) <= limit else [*range(limit - 1), -1]
            stack += [(*path, index) for index in chosen]
    return sorted(found, key=repr)


def at(document, path):
    for key in path:
        document = document[key]
    return document


@st.composite
def mutated(draw, documents, most=3, odd=()):
    """Draw a document of ``documents`` and change up to ``most`` of its values."""
    document = copy.deepcopy(draw(documents))
    for _ in range(draw(st.integers(0, most))):
        every = places(document)
        if not every:
            break
        path = draw(st.sampled_from(every))
        parent, key = at(document, path[:-1]), path[-1]
        kind = draw(st.integers(0, 9))
        if kind == 0:
            del parent[key]
        elif kind == 1 and isinstance(parent, list):
            parent.insert(0, copy.deepcopy(parent[key]))
        elif kind == 2 and isinstance(parent[key], int | float):
            parent[key] = -parent[key] if draw(st.booleans()) else parent[key] * 7
        elif kind == 3:
            parent[key] = nested(draw(st.sampled_from([3, 50, 600])))
        elif kind == 4:
            parent[key] = draw(st.one_of(st.text(), st.floats(), st.integers()))
        elif kind == 5 and type(parent[key]) is int and abs(parent[key]) < 2**64:
            parent[key] = float(parent[key])
        else:
            parent[key] = copy.deepcopy(draw(st.sampled_from([*ODD, *odd])))
    return document
