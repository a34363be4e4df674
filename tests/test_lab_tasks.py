"""The lab's tasks: what they draw and refuse, against naive readings of the lecture's words."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.lab.arithmetic import digits, fibonacci_2, value
from pipeline.lab.registry import entries, find
from pipeline.lab.rules import Equal, parse_pairs
from pipeline.lab.task import END, Budget, compact, lengths

PRINTED = [
    "521,142,663,679,13",
    "248,602,750,32551,33301",
    "855,244,1099,41551,",
    "27,881,907,95591,96",
    "738,518,1256,55491,567",
    "686,854,1540,556552,558092",
]
TASKS: dict[str, Any] = {
    f"{entry.name} {label}".strip() + f" {scale}": task
    for scale in ("small", "lecture")
    for entry in entries(scale)
    for label, task in (entry.tasks or {}).items()
}


def at(s, position):
    """Return the character at a 1-based position, negative ones from the end."""
    return s[position - 1] if position > 0 else s[position]


def fibonacci(s, most=999):
    x = [int(t) for t in s.split(",")]
    sums = all(x[i] == x[i - 1] + x[i - 2] for i in range(2, 7))
    return len(x) == 7 and sums and min(x[:2]) >= 1 and max(x[:2]) <= most


def second_rule(s):
    x1, x2, x3, x4, x5 = s.split(",")
    swapped = "".join({"7": "8", "8": "7"}.get(c, c) for c in str(int(x1) + int(x2)))
    doubled = "".join("55" if c == "5" else c for c in reversed(str(int(x2) + int(x3) + 171)))
    total = str(int(x3) + int(x4))
    cut = total[: total.index("4")] if "4" in total else total
    return (x3, x4, x5) == (swapped, doubled, cut)


def apart(s):
    ones = [divmod(i, 8) for i, c in enumerate(s) if c == "1"]
    gaps = [math.dist(p, q) for p in ones for q in ones]
    return len(s) == 64 and not any(math.isclose(g, d) for g in gaps for d in (4, 5))


def divisor(s):
    a, b, g = map(int, s.split(","))
    return g == max(d for d in range(1, min(a, b) + 1) if a % d == b % d == 0)


def modular(s, p):
    a, b, c = map(int, s.split())
    return (a + b) % p == c


NAIVE = {
    "equal-13-22": lambda s: at(s, 13) == at(s, 22),
    "five-rules 1": lambda s: at(s, 18) == at(s, 47),
    "five-rules 2": lambda s: at(s, 18) == at(s, len(s) - 20),
    "five-rules 3": lambda s: at(s, -1) == at(s, -2),
    "five-rules 4": lambda s: (
        at(s, 18) == at(s, 39) and at(s, 31) == at(s, 44) and at(s, 4) == at(s, 28)
    ),
    "five-rules 5": lambda s: (
        at(s, 18) == at(s, 39) and at(s, 31) == at(s, 44) and at(s, 4) == at(s, -28)
    ),
    "one-2": lambda s: s.count("2") == 1,
    "zero-or-two-2s": lambda s: s.count("2") in (0, 2),
    "fibonacci": fibonacci,
    "fibonacci-2": second_rule,
    "no-distance-4-5": apart,
}
LENGTHS = {"equal-13-22": (30, 40), "one-2": (10, 15), "zero-or-two-2s": (30, 40)}


def spoilt(strings, symbols, rng):
    """Return the strings with one symbol of each drawn anew."""
    out = strings.copy()
    place = (rng.random(len(out)) * lengths(out)).astype(int)
    out[np.arange(len(out)), place] = rng.integers(symbols, size=len(out))
    return out


@pytest.mark.parametrize("name", NAIVE)
def test_what_is_drawn_and_what_is_refused_agree_with_a_naive_reading(name):
    task = TASKS[f"{name} small"]
    rng = np.random.default_rng(1)
    drawn = task.generate(500, rng)
    assert all(NAIVE[name](s) for s in task.write(drawn))
    assert task.fitting(drawn).all()
    assert task.check(drawn).all()
    if "fibonacci" in name:
        symbols = 10  # commas stay, or a naive reading has nothing to read
        keep = (drawn == 10) | (drawn == END)
        other = np.where(keep, drawn, spoilt(drawn, symbols, rng))
        texts = task.write(other)
        fine = [not any(t.startswith("0") for t in s.split(",")[:2]) for s in texts]
        fine = [ok and s.split(",")[3] != "" for ok, s in zip(fine, texts, strict=True)]
        other, texts = other[fine], [s for ok, s in zip(fine, texts, strict=True) if ok]
    else:
        other = spoilt(drawn, len(task.alphabet), rng)
        texts = task.write(other)
    expected = [NAIVE[name](s) for s in texts]
    assert task.check(other).tolist() == expected
    assert 0 < sum(expected) < len(expected)


@pytest.mark.parametrize("name", LENGTHS)
def test_every_length_is_drawn_and_no_other(name):
    low, high = LENGTHS[name]
    found = set(lengths(TASKS[f"{name} small"].generate(2000, np.random.default_rng(0))).tolist())
    assert found == set(range(low, high + 1))


@pytest.mark.parametrize("name", TASKS)
def test_a_task_draws_what_it_checks_and_the_same_from_the_same_seed(name):
    task = TASKS[name]
    drawn = task.generate(300, np.random.default_rng(3))
    assert drawn.shape == (300, task.longest)
    assert task.check(drawn).all()
    assert task.fitting(drawn).all()
    assert (task.generate(300, np.random.default_rng(3)) == drawn).all()
    assert (task.read(task.write(drawn)) == drawn).all()
    # Nothing comes behind an end.
    assert not ((drawn[:, :-1] == END) & (drawn[:, 1:] != END)).any()


def test_gcd_and_modular_addition_agree_with_a_naive_reading():
    gcd, adding = TASKS["gcd small"], TASKS["modular-addition decay-1 small"]
    assert all(map(divisor, gcd.write(gcd.generate(300, np.random.default_rng(0)))))
    assert not gcd.check(gcd.read(["12,18,3", "12,18", "12,18,", "12,,6", "12,18,06"])).any()
    p = len(adding.alphabet)
    train, test = adding.split(0, np.random.default_rng(0))
    assert train is not None
    both = adding.write(np.concatenate([train, test]))
    assert all(modular(s, p) for s in both)
    assert len(set(both)) == len(both) == p * p
    assert not adding.check((test + np.array([0, 0, 1], np.uint8)) % p).any()


def test_the_lectures_six_rows_follow_from_their_first_two_terms():
    task = TASKS["fibonacci-2 small"]
    first = np.array([[int(t) for t in row.split(",")[:2]] for row in PRINTED])
    assert task.write(task.from_first(first)) == PRINTED
    assert task.check(task.read(PRINTED)).all()


@given(st.integers(1, 999), st.integers(1, 999))
def test_the_vectorised_second_rule_is_the_plain_one(a, b):
    task = TASKS["fibonacci-2 small"]
    terms = [str(a), str(b)]
    while len(terms) < 5:
        terms.append(fibonacci_2(terms))
    assert task.write(task.from_first(np.array([[a, b]]))) == [",".join(terms)]
    assert second_rule(",".join(terms))


def test_relabelling_changes_signs_and_nothing_else():
    plain, other = TASKS["fibonacci small"], TASKS["fibonacci-relabelled small"]
    first = np.random.default_rng(0).integers(1, 1000, size=(50, 2))
    a, b = plain.write(plain.from_first(first)), other.write(other.from_first(first))
    signs = {}
    for x, y in zip("".join(a), "".join(b), strict=True):
        assert signs.setdefault(x, y) == y
    assert len(set(signs.values())) == len(signs) == 11
    assert not set(signs.values()) & set("0123456789,")


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20))
def test_numbers_are_written_and_read_back(values):
    written = digits(np.array(values))
    assert value(written).tolist() == values
    texts = ["".join(map(str, row[row != END])) for row in written]
    assert texts == [str(v) for v in values]


@given(st.lists(st.lists(st.sampled_from([0, 1, END]), min_size=5, max_size=5), min_size=1))
def test_compacting_keeps_the_order(rows):
    found = compact(np.array(rows, np.uint8), 5)
    for row, out in zip(rows, found.tolist(), strict=True):
        kept = [x for x in row if x != END]
        assert out == kept + [END] * (5 - len(kept))


@given(
    st.lists(
        st.tuples(*[st.integers(1, 8).flatmap(lambda k: st.sampled_from([k, -k]))] * 2), min_size=1
    )
)
def test_any_pairs_of_positions_are_made_and_checked(pairs):
    task = Equal("own", "", "", (*"01",), 11, pairs=pairs, shortest=8)
    drawn = task.generate(40, np.random.default_rng(0))
    for s in task.write(drawn):
        assert all(at(s, i) == at(s, j) for i, j in pairs)
    assert task.check(drawn).all()


@pytest.mark.parametrize("name", ["five-rules 1", "five-rules 4", "fibonacci", "no-distance-4-5"])
def test_another_symbol_where_the_rule_decides_breaks_it(name):
    task = TASKS[f"{name} small"]
    drawn = task.generate(200, np.random.default_rng(5))
    decided = task.forced(drawn).decided[:, :-1] & (drawn != END)
    assert decided.any()
    for row in range(0, 200, 10):
        for place in np.flatnonzero(decided[row]):
            other = drawn[row : row + 1].copy()
            other[0, place] = 1 - other[0, place] if other[0, place] < 2 else 0
            assert not task.check(other)[0]


@pytest.mark.parametrize("name", ["five-rules 2", "five-rules 3", "five-rules 5", "one-2"])
def test_an_end_is_allowed_where_the_string_so_far_obeys_the_rule(name):
    task = TASKS[f"{name} small"]
    drawn = task.generate(100, np.random.default_rng(5))
    ends = task.forced(drawn).allowed[END]
    for row, long in enumerate(lengths(drawn)):
        for n in range(task.longest + 1):
            if n <= long:
                short = drawn[row : row + 1].copy()
                short[0, n:] = END
                fits = task.fitting(short)[0] and task.check(short)[0]
                if task.fitting(short)[0]:
                    assert ends[row, n] == fits
        assert ends[row, long]


def test_terms_are_counted_from_one_with_the_comma_behind_them():
    task = TASKS["fibonacci-2 small"]
    told = task.forced(task.read([PRINTED[2]]))
    assert told.part is not None
    assert told.part[0, :20].tolist() == [1] * 4 + [2] * 4 + [3] * 5 + [4] * 6 + [5]
    assert told.decided[0].sum() == 12


def test_wrong_sums_are_told_apart():
    task = TASKS["fibonacci small"]
    rows = ["1,2,3,5,8,13,21", "1,2,3,5,8,13,22", "100,2,102,104,206,310,999"]
    found = task.mistakes(task.read(rows))
    assert found["term 3 right"] == 1
    assert found["term 7 right"] == pytest.approx(1 / 3)
    assert found["wrong terms: one digit off"] == 0.5
    assert found["wrong terms: within a tenth"] == 0.5


@pytest.mark.parametrize("name", ["fibonacci", "fibonacci-2", "gcd"])
@given(st.lists(st.text("0123,", max_size=10), min_size=1, max_size=5))
def test_no_nonsense_of_a_model_is_too_much_for_the_check(name, texts):
    task = TASKS[f"{name} small"]
    strings = task.read(texts)
    assert task.check(strings).shape == (len(texts),)
    assert all(0 <= share <= 1 for share in task.mistakes(strings).values())


def test_wrong_gcds_are_told_apart():
    task = TASKS["gcd small"]
    found = task.mistakes(task.read(["12,18,6", "12,18,3", "12,18,12", "12,18,5", "8,4,4", "7,"]))
    assert found["gcd 6 right"] == 0.25
    assert found["wrong answers: divides the right gcd"] == pytest.approx(1 / 3)
    assert found["wrong answers: a multiple of it"] == pytest.approx(1 / 3)
    assert found["wrong answers: neither"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("spec", "lengths", "said"),
    [
        ("equal-13-2", (30, 40), "did you mean 'equal-13-22'?"),
        ("s[13]=s[60]", (30, 40), "position 60 lies outside the shortest string"),
        ("s[13]=s[-31]", (30, 40), "use 1 to 30, or -1 to -30"),
        ("s[0]=s[3]", (30, 40), "position 0 lies outside"),
        ("s[1]<s[3]", (30, 40), "write a rule as"),
        ("s[1]=s[3]", (40, 30), "write them as in 30:40"),
        ("nowhere.py", (30, 40), "no such file"),
    ],
)
def test_a_wrong_task_is_one_line(spec, lengths, said):
    with pytest.raises(UsageError) as caught:
        find(spec, "small", lengths)
    assert said in str(caught.value)


def test_a_rule_in_words_is_a_task():
    task = (find("s[3]=s[-1], s[1]=s[2]", "small", (5, 9)).tasks or {})[""]
    assert parse_pairs("s[3]==s[-1]") == [(3, -1)]
    for s in task.write(task.generate(100, np.random.default_rng(0))):
        assert s[2] == s[-1]
        assert s[0] == s[1]
        assert 5 <= len(s) <= 9


OWN = """
lengths = 4, 8
def generate(rng):
    half = "".join(rng.choice(["0", "1"], size=rng.integers(2, 5)))
    return half + half[::-1]
def check(s):
    return s == s[::-1]
"""


def test_a_rule_of_ones_own_is_a_file_of_ten_lines(tmp_path):
    (tmp_path / "mirror.py").write_text(OWN)
    task = (find(str(tmp_path / "mirror.py")).tasks or {})[""]
    assert task.name == "mirror"
    assert task.check(task.generate(50, np.random.default_rng(0))).all()
    assert task.check(task.read(["0110", "0111"])).tolist() == [True, False]
    assert task.chance == pytest.approx((1 / 4 + 1 / 8 + 1 / 16) / 3, abs=0.05)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("4, 8", "4, 7", "of length 8, outside lengths = 4, 7"),
        ("4, 8", "8, 4", "say lengths = shortest, longest"),
        ("lengths", "length", "say lengths = shortest, longest"),
        ('"1"]', '"x"]', "'x' is not in alphabet = '01'"),
        ("def check", "def chek", "define check(s)"),
        ("return half + half[::-1]", "return 3", "return a string"),
        ("half + half[::-1]", "half + half", "which check refuses"),
        ("half + half[::-1]", "nothing", "NameError"),
        ("s == s[::-1]", "s.reversed", "check("),
        ("def check(s):", "def check(s)", "line 6"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, old, new, said):
    from pipeline.errors import PipelineError

    (tmp_path / "mirror.py").write_text(OWN.replace(old, new))
    with pytest.raises(PipelineError) as caught:
        find(str(tmp_path / "mirror.py"))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_budget_says_what_it_is():
    assert "fresh strings" in Budget().words(100)
    assert "1,000 strings, 26,400 parameters" in Budget(strings=1000).words(26_400)
