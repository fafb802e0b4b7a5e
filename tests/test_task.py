from asr.task import Tally


def test_figures_worked_by_hand():
    tally = Tally(loss=30.0, tokens=20.0, frames=80.0, blanks=60.0, audio_s=7200.0, infeasible=3.0)
    tally.add(Tally(loss=6.0, tokens=4.0, updates=5.0, skipped=1.0, gradient_norm=2.0, waiting_s=1.0, seconds=4.0))
    assert tally.figures() == {
        "loss": 1.5,  # 36 / 24
        "gradient_norm": 0.5,  # of the 4 updates that were made
        "blank_share": 0.75,
        "infeasible": 3,
        "skipped": 1,
        "seconds": 4.0,
        "hours_per_s": 0.5,
        "times_real_time": 1800.0,
        "waiting_share": 0.25,
    }
    assert set(Tally().figures().values()) == {0}


def test_text_has_neither_frames_nor_audio():
    figures = Tally(loss=30.0, tokens=20.0, updates=2.0, gradient_norm=1.0, waiting_s=1.0, seconds=4.0).figures()
    assert figures == {
        "loss": 1.5,
        "gradient_norm": 0.5,
        "skipped": 0,
        "seconds": 4.0,
        "waiting_share": 0.25,
        "tokens_per_s": 5.0,
    }
