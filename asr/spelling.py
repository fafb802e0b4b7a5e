"""English in one spelling: British forms in the American way, by lists of words, never by a rule for all words.

Only spellings of one word are here that are said alike: not `learnt`, `aeroplane` or `whilst`, which sound otherwise,
and not `tyre` or `analyses`, which may be another word.
"""

import re
from collections.abc import Callable
from functools import lru_cache

_OUR = """
    arb ard arm behavi cand clam clang col demean dol enam endeav fav ferv flav harb hon hum lab misdemean neighb od
    parl ranc rig rum sav savi splend succ tum val vap vig watercol
"""
"""Stems that `our` follows: colour, favourite, neighbourhood."""

_RE = """
    accout amphitheat calib cent centimet epicent fib goit kilomet lit lust manoeuv meag met millimet mit nit och
    reconnoit sab saltpet scept sepulch somb spect theat
"""
"""Stems that `re` follows: centre, theatres, reconnoitred."""

_ISE = """
    aggrand agon american amort anatom anglic antagon apolog apostroph appet atom author bapt brutal burglar canon
    capital carbon catech categor cauter central character christian civil colon computer conceptual contextual critic
    crystall custom decimal demon deputi digit dogmat dramat econom emphas energ epitom equal eternal eulog evangel
    exorc extempor external familiar fanatic fertil final formal fossil fratern galvan general global harmon homogen
    hospital human hybrid hypnot ideal idol immobil immortal immun individual industrial initial institutional
    internal item jeopard legal liberal local lyric magnet marginal material maxim mechan memor mesmer metal mineral
    minim mobil modern monopol moral national natural neutral normal optim organ ostrac oxid particular patron pauper
    penal personal philosoph plagiar polar popular pressur priorit proselyt public pulver rational real recogn regular
    revital revolution rhapsod romantic sanit satir scandal scrutin secular sensual sentimental serial sermon signal
    social solemn soliloqu special spiritual stabil standard steril stigmat subsid summar symbol sympath synchron
    synthes systemat tantal tempor terror theor trivial tyrann union urban util vandal vapor verbal victim visual
    vital vocal vulgar western woman
"""
"""Stems that `ise` follows: realise, organisations, civilised."""

_DOUBLED = """
    apparel barrel bedevil bejewel bevel cancel carol cavil channel chisel council counsel cruel cudgel devil dial
    dishevel drivel duel empanel enamel equal fuel funnel gambol gravel grovel initial jewel kennel label level libel
    marshal marvel medal model panel parcel pedal pencil peril petal pommel pummel quarrel ravel revel rival rowel
    shovel shrivel signal snivel spiral stencil swivel tassel tinsel total towel trammel travel trowel tunnel unravel
    victual worship yodel
"""
"""Words whose last letter is single in American before an ending: travelled, counsellor, marvellous."""

_SINGLE = "appal distil enrol enthral fulfil instil"
"""Words whose last letter is double in American: fulfil, enrols, instilment."""

_AE_OE = """
    anaemi anaesthe diarrhoea encyclopaed foetus gynaecolog haemorrhag homoeopath leukaemi manoeuv mediaeval oesophag
    orthopaed paediatric
"""
"""Beginnings of words in which American has `e` for `ae` and `oe`."""

_WORDS = """
    abridgement=abridgment acknowledgement=acknowledgment acknowledgements=acknowledgments ageing=aging
    artefact=artifact artefacts=artifacts axe=ax behove=behoove behoves=behooves biassed=biased carcase=carcass
    carcases=carcasses catalogue=catalog catalogued=cataloged catalogues=catalogs cheque=check chequered=checkered
    cheques=checks cognisance=cognizance cognisant=cognizant connexion=connection connexions=connections cosier=cozier
    cosily=cozily cosiness=coziness cosy=cozy defence=defense defenceless=defenseless defences=defenses
    despatch=dispatch despatched=dispatched despatches=dispatches despatching=dispatching dialogue=dialog
    dialogues=dialogs draught=draft draughts=drafts draughtsman=draftsman draughty=drafty dulness=dullness dyke=dike
    dykes=dikes enquire=inquire enquired=inquired enquirer=inquirer enquirers=inquirers enquires=inquires
    enquiries=inquiries enquiring=inquiring enquiringly=inquiringly enquiry=inquiry focussed=focused
    focussing=focusing fulness=fullness gaol=jail gaoler=jailer gaolers=jailers gaols=jails gipsies=gypsies
    gipsy=gypsy gramme=gram grammes=grams grey=gray greyed=grayed greyer=grayer greying=graying greyish=grayish
    greyness=grayness greys=grays inflexion=inflection inflexions=inflections instalment=installment
    instalments=installments jewellery=jewelry judgement=judgment judgements=judgments kerb=curb licence=license
    licences=licenses liquorice=licorice lodgement=lodgment mould=mold moulded=molded moulder=molder
    mouldered=moldered mouldering=moldering moulding=molding mouldings=moldings moulds=molds mouldy=moldy moult=molt
    moulted=molted moulting=molting moustache=mustache moustached=mustached moustaches=mustaches naught=nought
    offence=offense offences=offenses pedlar=peddler pedlars=peddlers plough=plow ploughed=plowed ploughing=plowing
    ploughman=plowman ploughmen=plowmen ploughs=plows ploughshare=plowshare practise=practice practised=practiced
    practises=practices practising=practicing pretence=pretense pretences=pretenses programme=program
    programmes=programs pyjamas=pajamas reflexion=reflection reflexions=reflections rouble=ruble roubles=rubles
    sceptic=skeptic sceptical=skeptical sceptically=skeptically scepticism=skepticism sceptics=skeptics shew=show
    shewed=showed shewing=showing shewn=shown shews=shows skilful=skillful skilfully=skillfully smoulder=smolder
    smouldered=smoldered smouldering=smoldering smoulders=smolders storey=story storeys=stories sulphate=sulfate
    sulphur=sulfur sulphuric=sulfuric sulphurous=sulfurous tranquillise=tranquilize tranquillised=tranquilized
    tranquillising=tranquilizing tranquillity=tranquility tranquillize=tranquilize tranquillized=tranquilized
    tranquillizing=tranquilizing tsar=czar tsars=czars unpractised=unpracticed unskilful=unskillful
    unskilfully=unskillfully verandah=veranda verandahs=verandas waggon=wagon waggoner=wagoner waggoners=wagoners
    waggons=wagons whisky=whiskey wilful=willful wilfully=willfully wilfulness=willfulness woollen=woolen
    woollens=woolens yoghurt=yogurt
"""


def _any(words: str) -> str:
    return "|".join(words.split())


_RULES: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    (
        re.compile(
            rf"((?:be|dis|mis|multi|re|tri|un)?(?:{_any(_OUR)}))our"
            r"(|s|ed|edly|ing|ings|er|ers|able|ably|ful|fully|hood|hoods|ist|ists|ite|ites|itism|less|ly|y|ies|liness)"
        ),
        r"\1or\2",
    ),
    (re.compile(rf"({_any(_RE)})re(|s|less|ly|ness|goer|goers)"), r"\1er\2"),
    (re.compile(r"(accout|cent|fib|lust|manoeuv|mit|reconnoit|sab|scept)r(ed|ing|ings)"), r"\1er\2"),
    (
        re.compile(
            rf"((?:anti|de|dis|mis|over|re|un)*(?:{_any(_ISE)}))is"
            r"(e|es|ed|er|ers|ing|ings|ingly|able|ation|ations|ational|ement)"
        ),
        r"\1iz\2",
    ),
    (re.compile(r"((?:electro|over|psycho|un)?(?:anal|catal|paral))ys(e|ed|er|ers|ing)"), r"\1yz\2"),
    (
        re.compile(
            rf"((?:mis|out|re|un|vice)?(?:{_any(_DOUBLED)}))[lp]"
            r"(ed|ing|ings|er|ers|est|or|ors|orship|ist|ists|ous|ously)"
        ),
        r"\1\2",
    ),
    (re.compile(rf"({_any(_SINGLE)})(|s|ment|ments)"), r"\1l\2"),
    (re.compile(rf"({_any(_AE_OE)})(\w*)"), lambda match: re.sub("[ao]e", "e", match[1]) + match[2]),
]
"""Each for whole words only, and in this order: a word may come under several, as manoeuvre does."""

_EXACT = dict(pair.split("=") for pair in _WORDS.split())


@lru_cache(100_000)
def american(word: str) -> str:
    """A word in lower case in American spelling; any other word, and any that is not in the lists, as it is.

    >>> [american(word) for word in ("neighbour's", "unrecognisable", "hour", "promise")]
    ["neighbor's", 'unrecognizable', 'hour', 'promise']
    """
    if word.endswith("'s"):
        return american(word[:-2]) + "'s"
    word = _EXACT.get(word, word)
    for pattern, replacement in _RULES:
        if match := pattern.fullmatch(word):
            word = match.expand(replacement) if isinstance(replacement, str) else replacement(match)
    return word
