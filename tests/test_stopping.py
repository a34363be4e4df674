"""What a session has spent, by a clock that is told of its workers."""

from pipeline.stopping import Clock


def test_workers_count_from_when_they_are_watched_and_a_start_forgets_what_was_before():
    clock, spent = Clock(cpu=50), [1000.0]
    clock.watch(lambda: spent[0])
    assert clock.cpu() < 5
    spent[0] = 1040.0
    assert 40 <= clock.cpu() < 45
    assert not clock.over()
    spent[0] = 1060.0
    assert 60 <= clock.cpu() < 65
    assert clock.over()
    clock.start()
    assert clock.cpu() < 5
    spent[0] = 1072.0
    assert 12 <= clock.cpu() < 17


def test_watching_others_keeps_what_the_first_have_spent():
    clock, spent = Clock(), [0.0]
    clock.watch(lambda: spent[0])
    spent[0] = 30.0
    clock.watch(lambda: 500.0)
    assert 30 <= clock.cpu() < 35
    spent[0] = 90.0
    assert clock.cpu() < 35
