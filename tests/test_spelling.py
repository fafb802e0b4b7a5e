import doctest

import pytest

from asr import spelling
from asr.spelling import american


@pytest.mark.parametrize(
    ("british", "expected"),
    [
        ("colour colours coloured colouring colourless", "color colors colored coloring colorless"),
        ("favourite unfavourably honourable dishonoured", "favorite unfavorably honorable dishonored"),
        ("neighbourhood neighbour's good-humouredly behaviour", "neighborhood neighbor's good-humouredly behavior"),
        ("centre centres centred centring theatre kilometre", "center centers centered centering theater kilometer"),
        ("manoeuvre manoeuvred manoeuvring", "maneuver maneuvered maneuvering"),
        ("realise realised organisation unrecognisable", "realize realized organization unrecognizable"),
        ("analyse paralysed", "analyze paralyzed"),
        ("travelled traveller marvellous counsellor quarrelling", "traveled traveler marvelous counselor quarreling"),
        ("worshipped cruellest duellist", "worshiped cruelest duelist"),
        ("fulfil enrolment instils skilful wilfully", "fulfill enrollment instills skillful willfully"),
        ("defence offences pretence licence practised", "defense offenses pretense license practiced"),
        ("grey judgement programme moustache gaol plough", "gray judgment program mustache jail plow"),
        ("anaesthetic haemorrhage encyclopaedia mediaeval foetus", "anesthetic hemorrhage encyclopedia medieval fetus"),
    ],
)
def test_british_to_american(british, expected):
    assert [american(word) for word in british.split()] == expected.split()
    assert [american(word) for word in expected.split()] == expected.split()


@pytest.mark.parametrize(
    "words",
    [
        "hour four flour sour tour pour your our court course contour detour glamour velour paramour devour scour",
        "rise wise raise noise promise exercise surprise advertise compromise despise otherwise premise precise devise",
        "advise revise supervise franchise merchandise enterprise improvise disguise arise chastise concise raised",
        "acre ogre massacre genre fire desire wire before mediocre lucre cadre care more here metric central",
        "controlled fulfilled compelled called filled killed spelled excellent rebelled propelled patrolled installed",
        "analyses paralyses emphasis basis crisis hypnosis realism realist organist capitalist socialist",
        "licensed hence fence sense greyhound gray learnt burnt spelt dreamt whilst towards aeroplane tyre louvre",
        "filler miller caller teller seller hello bella shell honorary laborious humorous vaporous",
        "phoenix canoe shoe poem israel aerial aesthetic caesar michael",
    ],
)
def test_other_words_stay(words):
    assert [american(word) for word in words.split()] == words.split()


@pytest.mark.parametrize(
    ("stems", "ending", "expected"),
    [
        (spelling._OUR, "our", "or"),
        (spelling._RE, "re", "er"),
        (spelling._ISE, "ised", "ized"),
        (spelling._ISE, "isation", "ization"),
        (spelling._SINGLE, "s", "ls"),
    ],
)
def test_every_stem_is_at_work(stems, ending, expected):
    assert len(set(stems.split())) == len(stems.split())
    for stem in stems.split():
        word = american(stem + ending)
        assert word == stem.replace("oeu", "eu") + expected
        assert american(word) == word


def test_the_list_of_words_has_no_chains():
    pairs = [pair.split("=") for pair in spelling._WORDS.split()]
    assert len({british for british, _ in pairs}) == len(pairs)
    for british, word in pairs:
        assert british != word == american(british) == american(word)


def test_examples():
    failed, attempted = doctest.testmod(spelling)
    assert (failed, attempted) == (0, 1)
