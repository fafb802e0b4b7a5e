"use strict";
const $ = id => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const { systems, utterances } = data, two = systems.length === 2, unknown = new Set(data.unknown ?? []);
const AT_ONCE = 20, LISTED = 100;  // utterances added to the list, confusions in a table
const audio = $("audio");

const whole = count => count.toLocaleString("en");
const rate = (errors, of) => of ? errors / of : errors ? Infinity : 0;
const percent = (share, digits = 1) => Number.isFinite(share) ? `${(100 * share).toFixed(digits)}\u00a0%` : "∞";
const signed = (value, show = whole) => `${value < 0 ? "−" : value > 0 ? "+" : "±"}${show(Math.abs(value))}`;
const points = share => share === null ? "?" : signed(share, size => (100 * size).toFixed(2));
const plural = (count, word) => `${whole(count)} ${word}${count === 1 ? "" : "s"}`;
const sum = numbers => numbers.reduce((total, number) => total + number, 0);
const worsening = change => change < 0 ? "better" : change > 0 ? "worse" : "";

const SVG = ["svg", "rect", "line", "text", "title"];

function element(tag, attributes = {}, ...children) {
  const made = SVG.includes(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/* What is known of each utterance, and its words by position. */

const KINDS = ["equal", "substituted", "deleted", "inserted"];
const split = column => typeof column === "string" ? [0, column, column] : [column[0] ? column[1] ? 1 : 2 : 3, ...column];

utterances.forEach((utterance, index) => {
  const texts = [utterance.id, utterance.speaker];
  utterance.index = index;
  utterance.counts = utterance.heard.map(({ columns }, system) => {
    const counts = [0, 0, 0, 0], said = [], heard = [];
    for (const column of columns) {
      const [kind, left, right] = split(column);
      counts[kind]++;
      if (left) said.push(left);
      if (right) heard.push(right);
    }
    if (!system) {
      texts.push(said.join(" "));
      utterance.words = said.length;
      utterance.unknown = unknown.size ? said.filter(word => unknown.has(word)).length : 0;
    }
    texts.push(heard.join(" "));
    return counts;
  });
  utterance.errors = utterance.counts.map(([, ...wrong]) => sum(wrong));
  utterance.change = two ? utterance.errors[1] - utterance.errors[0] : 0;
  utterance.text = ` ${texts.join(" \n ")} `.toLowerCase();
});

/* By what utterances are put together; the bounds are the last values of each group. */

const bins = bounds => value => value === null ? "unknown" : String(bounds.find(bound => value <= bound) ?? "more");
const upTo = (bounds, unit, gap = 0) => Object.fromEntries([
  ...bounds.map((bound, place) => [bound, `${place ? bounds[place - 1] + gap : "up"} to ${bound} ${unit}`]),
  ["more", `over ${bounds.at(-1)} ${unit}`], ["unknown", "not known"]]);
const { duration: DURATIONS, length: LENGTHS } = data.bounds;
const SHARES = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100];
const CHANGES = [-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5];
const named = { duration: upTo(DURATIONS, "s"), length: upTo(LENGTHS, "words", 1), wer: upTo(SHARES, "%") };
named.wer[0] = "no error";
const inDuration = bins(DURATIONS), inLength = bins(LENGTHS), inShare = bins(SHARES);

const most = CHANGES.at(-1), beyond = name => Math.abs(name) === most ? " or beyond" : "";
const facets = {
  speaker: { of: utterance => utterance.speaker, label: name => `speaker ${name || "not known"}` },
  duration: { of: utterance => inDuration(utterance.duration), label: name => named.duration[name] ?? name },
  length: { of: utterance => inLength(utterance.words), label: name => named.length[name] ?? name },
  wer: {
    of: utterance => inShare(100 * rate(utterance.errors[0], utterance.words)),
    label: name => `WER: ${named.wer[name] ?? name}`,
  },
  change: {
    of: utterance => String(Math.max(-most, Math.min(most, utterance.change))),
    label: name => `B − A: ${signed(Number(name))}${beyond(name)}`,
  },
};

/** The groups of a facet with what they add up to; those in `order` come first, and also when they are empty. */
function grouped(facet, order = []) {
  const empty = name => ({ name, utterances: 0, words: 0, errors: systems.map(() => 0) });
  const groups = new Map(order.map(name => [name, empty(name)]));
  for (const utterance of utterances) {
    const name = facets[facet].of(utterance);
    if (!groups.has(name)) groups.set(name, empty(name));
    const group = groups.get(name);
    group.utterances++;
    group.words += utterance.words;
    utterance.errors.forEach((count, system) => { group.errors[system] += count; });
  }
  return [...groups.values()].map(group => ({ ...group, rates: group.errors.map(errors => rate(errors, group.words)) }));
}

/* Words that were confused: of one system by kind, of two those that only one of them gets. */

const pairs = new Map();
const PAIRS = two
  ? { A: "Right in A, wrong in B", B: "Right in B, wrong in A" }
  : { substituted: "Substitutions", deleted: "Deletions", inserted: "Insertions" };

function count(kind, said, heard, utterance) {
  const key = [kind, said, heard].join("\t");
  if (!pairs.has(key)) pairs.set(key, { key, kind, said, heard, count: 0, members: new Set() });
  const pair = pairs.get(key);
  pair.count++;
  pair.members.add(utterance.index);
}

const outcomes = columns => columns.map(split).filter(([, said]) => said);

for (const utterance of utterances) {
  const [a, b] = utterance.heard.map(({ columns }) => columns);
  if (two) {
    const other = outcomes(b);
    outcomes(a).forEach(([kindA, said, heardA], place) => {
      const [kindB, , heardB] = other[place];
      if (!kindA && kindB) count("A", said, heardB, utterance);
      if (kindA && !kindB) count("B", said, heardA, utterance);
    });
  } else for (const column of a) {
    if (typeof column === "string") continue;
    const [kind, said, heard] = split(column);
    count(KINDS[kind], said, heard, utterance);
  }
}

const isChange = kind => two || kind === "substituted";
const pairName = ({ kind, said, heard }) => isChange(kind) ? `${said} → ${heard || "nothing"}` : said || heard;
const pairLabel = pair => `${two ? PAIRS[pair.kind] : pair.kind}: ${pairName(pair)}`;

/* Which utterances are shown, and in what order: all of it stands in the address. */

const isWrong = utterance => utterance.errors[0] > 0;
const kinds = two ? {
  all: ["all utterances", () => true],
  worse: ["B worse than A", utterance => utterance.change > 0],
  better: ["B better than A", utterance => utterance.change < 0],
  same: ["as many errors", utterance => !utterance.change],
  both: ["both wrong", utterance => isWrong(utterance) && utterance.errors[1] > 0],
  neither: ["both right", utterance => !isWrong(utterance) && !utterance.errors[1]],
} : {
  all: ["all utterances", () => true],
  wrong: ["with errors", isWrong],
  right: ["without errors", utterance => !isWrong(utterance)],
  substituted: ["with substitutions", utterance => utterance.counts[0][1]],
  deleted: ["with deletions", utterance => utterance.counts[0][2]],
  inserted: ["with insertions", utterance => utterance.counts[0][3]],
  ...unknown.size ? { unknown: ["with words not in the lexicon", utterance => utterance.unknown] } : {},
};

const { compare } = new Intl.Collator("en", { numeric: true });
const by = value => (left, right) => value(left) === value(right) ? 0 : value(left) < value(right) ? -1 : 1;
const sorts = {
  ...two ? { change: ["B − A", by(utterance => utterance.change)] } : {},
  errors: [two ? "errors of A" : "errors", by(utterance => utterance.errors[0])],
  ...two ? { errors1: ["errors of B", by(utterance => utterance.errors[1])] } : {},
  ...two ? {} : { wer: ["WER", by(utterance => rate(utterance.errors[0], utterance.words))] },
  words: ["words", by(utterance => utterance.words)],
  duration: ["duration", by(utterance => utterance.duration ?? -1)],
  speaker: ["speaker", (left, right) => compare(left.speaker, right.speaker)],
  id: ["id", (left, right) => compare(left.id, right.id)],
};
const first = Object.keys(sorts)[0], rising = name => name === "id" || name === "speaker";

let state = {}, shown = [], current = -1, writing = 0;

function readState() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const kind = asked.get("kind"), sort = asked.get("sort");
  state = {
    text: asked.get("text") ?? "", picks: {},
    kind: Object.hasOwn(kinds, kind) ? kind : "all", sort: Object.hasOwn(sorts, sort) ? sort : first,
  };
  state.up = asked.has("up") ? asked.get("up") === "1" : rising(state.sort);
  for (const name of [...Object.keys(facets), "pair"]) if (asked.has(name)) state.picks[name] = asked.get(name);
  if (!pairs.has(state.picks.pair)) delete state.picks.pair;
}

function writeState() {
  const asked = new URLSearchParams(state.picks);
  if (state.text) asked.set("text", state.text);
  if (state.kind !== "all") asked.set("kind", state.kind);
  if (state.sort !== first || state.up) asked.set("sort", state.sort);
  if (state.up !== rising(state.sort)) asked.set("up", state.up ? "1" : "0");
  clearTimeout(writing);
  writing = setTimeout(() => history.replaceState(null, "", `#${asked}`), 150);  // browsers refuse many in a row
}

function change(changes, toList = false) {
  Object.assign(state, changes);
  writeState();
  refresh();
  if (toList) $("utterances").scrollIntoView();
}

function pick(facet, name) {
  const { [facet]: picked, ...others } = state.picks;
  change({ picks: picked === name ? others : { ...others, [facet]: name } }, picked !== name);
}

function refresh() {
  const text = state.text.toLowerCase(), [, isKind] = kinds[state.kind], [, order] = sorts[state.sort];
  const { pair, ...picks } = state.picks, tests = Object.entries(picks), members = pair && pairs.get(pair).members;
  shown = utterances.filter(utterance => isKind(utterance) && utterance.text.includes(text)
    && (!members || members.has(utterance.index)) && tests.every(([name, value]) => facets[name].of(utterance) === value));
  shown.sort(state.up ? order : (left, right) => order(right, left));
  current = -1;
  $("list").replaceChildren();
  more();
  if ($("text").value !== state.text) $("text").value = state.text;
  $("kind").value = state.kind;
  $("count").textContent = counted();
  $("chips").replaceChildren(...Object.entries(state.picks).map(([name, value]) => {
    const label = name === "pair" ? pairLabel(pairs.get(value)) : facets[name].label(value);
    const chip = element("button", { class: "chip", "aria-label": `Remove ${label}` }, `${label} ✕`);
    chip.onclick = () => { pick(name, value); ($("chips").firstElementChild ?? $("text")).focus({ preventScroll: true }); };
    return chip;
  }));
  for (const button of $("sorts").querySelectorAll("button")) {
    const isUsed = button.dataset.sort === state.sort;
    button.setAttribute("aria-pressed", isUsed);
    button.textContent = sorts[button.dataset.sort][0] + (isUsed ? state.up ? " ▲" : " ▼" : "");
  }
  for (const row of document.querySelectorAll("tr[data-facet]"))
    row.classList.toggle("picked", state.picks[row.dataset.facet] === row.dataset.name);
}

function counted() {
  if (!shown.length) return `none of ${whole(utterances.length)} utterances`;
  const words = sum(shown.map(utterance => utterance.words));
  const rates = systems.map((_, system) => percent(rate(sum(shown.map(utterance => utterance.errors[system])), words)));
  const part = shown.length === utterances.length ? "" : ` of ${whole(utterances.length)}`;
  return `${whole(shown.length)}${part} utterances · ${plural(words, "word")} · WER ${rates.join(" and ")}`;
}

/* The list, a screen or two at a time. */

function more() {
  const next = shown.slice($("list").children.length).slice(0, AT_ONCE);
  $("list").append(...next.map(listed));
  $("more").hidden = $("list").children.length >= shown.length;
}

function listed(utterance) {
  const { id, speaker, duration, words, errors, heard, change } = utterance;
  const facts = [
    speaker && `speaker ${speaker}`, duration !== null && `${duration.toFixed(1)} s`, plural(words, "word"),
    two ? `errors: A ${errors[0]}, B ${errors[1]}` : `${plural(errors[0], "error")}, ${percent(rate(errors[0], words), 0)}`,
  ].filter(Boolean);
  const about = element("div", { class: "about" });
  const play = element("button", { class: "play", "aria-label": `Play ${id}`, title: "Play" }, "▶");
  if (hasAudio(utterance)) about.append(play);
  about.append(element("strong", {}, id), ...facts.map(fact => element("span", {}, fact)));
  if (change) about.append(element("span", { class: worsening(change) }, `${signed(change)} ${worsening(change)}`));
  const item = element("li", { class: "utterance", tabindex: -1 }, about, ...heard.map(aligned));
  item.utterance = utterance;
  return item;
}

function aligned({ columns, times }, system) {
  let place = 0;
  const words = columns.map(column => {
    const [kind, said, heard] = split(column), at = heard ? times[place++] : undefined;
    return word(kind, said, heard, at);
  });
  const name = two ? [element("span", { class: `name ${"AB"[system]}` }, "AB"[system])] : [];
  return element("div", { class: "alignment", dir: "auto" }, ...name, ...words);
}

function word(kind, said, heard, at) {
  const timed = at === undefined ? null : { tabindex: -1, "data-at": at, title: `${at.toFixed(2)} s` };
  const made = timed ? element("button", timed) : element("span");
  made.className = `word ${KINDS[kind]}`;
  if (kind === 1) made.append(element("small", {}, said), element("span", {}, heard));
  else made.append(element(["span", "", "del", "ins"][kind], {}, said || heard));
  if (unknown.has(said)) {
    made.firstChild.classList.add("unknown");
    made.title = `not in the lexicon${timed ? `; ${timed.title}` : ""}`;
  }
  return made;
}

function move(step) {
  const next = Math.max(0, Math.min(shown.length - 1, current + step));
  while (next >= $("list").children.length && next < shown.length) more();
  const item = $("list").children[next];
  item?.focus({ preventScroll: true });
  item?.scrollIntoView({ block: "nearest" });
  if (next + 3 > $("list").children.length) more();
}

function mark(item) {
  $("list").children[current]?.classList.remove("current");
  item.classList.add("current");
  current = [...$("list").children].indexOf(item);
}

/* Sound: one player, which knows where the utterance ends. */

let playing = null, end = Infinity, source = "", from = 0, frame = 0;

const embedded = utterance => $(`audio-${utterance.index}`);
const hasAudio = utterance => Boolean(utterance.audio || embedded(utterance));

function decoded(base64) {
  return new Blob([Uint8Array.from(atob(base64), byte => byte.charCodeAt(0))], { type: "audio/flac" });
}

function open(utterance) {
  const inside = embedded(utterance), wanted = inside ? inside.id : utterance.audio;
  if (wanted !== source) {
    if (audio.src.startsWith("blob:")) URL.revokeObjectURL(audio.src);
    $("unplayable").hidden = true;
    audio.src = inside ? URL.createObjectURL(decoded(inside.textContent)) : utterance.audio;
    source = wanted;
  }
  playing = utterance;
  from = inside ? 0 : utterance.offset;
  $("now").textContent = utterance.id;
  $("player").hidden = false;
}

function play(item, at = 0) {
  const { utterance } = item;
  mark(item);
  if (!hasAudio(utterance)) return;
  open(utterance);
  end = utterance.duration === null ? Infinity : from + utterance.duration;
  audio.currentTime = from + at;
  follow();
  audio.play().catch(() => {});  // told by the error event, or stopped again at once
}

function follow() {
  if (audio.currentTime >= end && !audio.paused) {
    audio.pause();
    end = Infinity;  // whoever goes on by hand may
  }
  const item = audio.paused ? null : $("list").children[shown.indexOf(playing)], now = audio.currentTime - from + 0.001;
  const lit = [...item?.querySelectorAll(".alignment") ?? []].map(line =>
    [...line.querySelectorAll("[data-at]")].findLast(word => Number(word.dataset.at) <= now));
  for (const word of $("list").querySelectorAll(".playing")) if (!lit.includes(word)) word.classList.remove("playing");
  for (const word of lit) word?.classList.add("playing");
  cancelAnimationFrame(frame);
  if (!audio.paused) frame = requestAnimationFrame(follow);
}

function stop() {
  audio.pause();
  $("player").hidden = true;
}

function toggle() {
  const item = $("list").children[Math.max(current, 0)];
  if (!audio.paused) audio.pause();
  else if (item) play(item);
}

/* The head of the page. */

const measures = [
  ["Substitutions", system => [whole(system.substitutions), percent(rate(system.substitutions, system.words))]],
  ["Deletions", system => [whole(system.deletions), percent(rate(system.deletions, system.words))]],
  ["Insertions", system => [whole(system.insertions), percent(rate(system.insertions, system.words))]],
  ["Sentence errors", system => [whole(system.wrong_sentences), percent(rate(system.wrong_sentences, system.sentences))]],
  ["CER", system => [percent(rate(system.character_errors, system.characters), 2)]],
  ["Normalisation", system => [system.normalisation]],
];
const wer = system => rate(system.substitutions + system.deletions + system.insertions, system.words);
const size = ({ words, sentences }) => [
  ["Words", whole(words)], ["Utterances", whole(sentences)], ...data.hours ? [["Hours", data.hours.toFixed(2)]] : []];
const speakers = new Set(utterances.map(facets.speaker.of)).size;
const drawn = unit => unit === "speaker" ? plural(speakers, "speaker") : plural(utterances.length, "utterance");
const list = (kind, entries) => element("dl", { class: kind }, ...entries.map(([name, value, more]) => element(
  "div", {}, element("dt", {}, name), element("dd", {}, value, ...more ? [" ", element("small", {}, more)] : []))));

/** The figure that counts, what it is, and its interval. */
function figure(kind, value, unit, low, high, over, ...more) {
  const interval = `95 % interval ${low} to ${high}, drawn over ${drawn(over)}`;
  return element("div", {},
    element("div", { class: `rate ${kind}`, id: "rate" }, value, " ", element("small", {}, unit)),
    element("p", { class: "quiet", id: "interval" }, interval), ...more);
}

function headlineOfOne([system]) {
  const { low, high, unit } = system, missed = sum(utterances.map(utterance => utterance.unknown));
  const missing = data.unknown ? [["Not in the lexicon", whole(missed), percent(rate(missed, system.words))]] : [];
  const entries = [...measures.map(([name, show]) => [name, ...show(system)]), ...size(system), ...missing];
  return [figure("", percent(wer(system), 2), "WER", percent(low, 2), percent(high, 2), unit), list("tiles", entries)];
}

function headlineOfTwo(both) {
  const { value, low, high, unit, improved } = data.difference, isSure = low * high > 0;
  const number = figure(
    isSure ? worsening(value) : "", points(value), "points of WER, B − A", points(low), points(high), unit,
    element("p", { class: "quiet" }, `B is better in ${percent(improved)} of the resamples`));
  const rows = [
    ["WER", system => [percent(wer(system), 2)]],
    ["95 % interval", system => [`${percent(system.low, 2)} to ${percent(system.high, 2)}`]],
    ...measures,
  ].map(([name, show]) => element("tr", {},
    element("th", { scope: "row" }, name), ...both.map(system => element("td", {}, show(system).join(" · ")))));
  const heads = both.map(({ title }, place) => {
    const letter = "AB"[place];
    return element("th", { scope: "col", class: letter }, `${letter}: ${title}`);
  });
  const head = element("thead", {}, element("tr", {}, element("td"), ...heads));
  const table = element("table", {}, head, element("tbody", {}, ...rows));
  return [number, table, list("tiles", [...size(both[0]), ...data.summary])];
}

function showHead() {
  const title = two ? `${systems[0].title} against ${systems[1].title}` : systems[0].title;
  document.title = `${two ? points(data.difference.value) : percent(wer(systems[0]), 2)} · ${title}`;
  $("title").textContent = title;
  const said = [data.verdict, ...systems.flatMap(system => system.remarks)].filter(Boolean);
  const remarks = [...new Set(said)].map(remark => element("li", {}, remark));
  $("headline").append(element("div", { class: "headline" }, ...(two ? headlineOfTwo : headlineOfOne)(systems)));
  if (remarks.length) $("headline").append(element("ul", { class: "remarks", id: "remarks" }, ...remarks));
  const facts = data.facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);
  if (facts.length) $("headline").append(element("dl", { class: "facts", id: "facts" }, ...facts));
}

/* Pictures and tables. */

function ticksTo(top, least) {
  const rough = (top || 1) / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(least, [1, 2, 5, 10].map(factor => factor * power).find(size => size >= rough));
  return Array.from({ length: Math.ceil((top || 1) / step - 1e-9) + 1 }, (_, place) => place * step);
}

const HEIGHT = 210, LEFT = 46, RIGHT = 8, ABOVE = 18, UNDER = 38;  // of a picture and its margins, in pixels

/**
 * Bars side by side, that can be pressed to see their utterances. A bar has a name, a value for each system (or one),
 * and a title for who points at it.
 */
function chart({ caption, down, across, facet, bars, show, least = 0.1, labels = true, focusable = false }) {
  const legend = bars[0].values.length > 1 ? ["A", "B"].map(name => element("span", { class: name }, name)) : [];
  const svg = element("svg", { role: "group", "aria-label": caption });
  const picture = element("figure", {}, element("figcaption", {}, caption, ...legend), svg);
  const finite = bars.flatMap(bar => bar.values).filter(Number.isFinite);
  const ticks = ticksTo(Math.max(0, ...finite), least), top = ticks.at(-1);
  const y = value => ABOVE + (HEIGHT - ABOVE - UNDER) * (1 - Math.min(value, top) / top);
  picture.draw = () => {
    const width = Math.max(240, picture.clientWidth), step = (width - LEFT - RIGHT) / bars.length;
    const grid = ticks.map(tick => element("line", { x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick) }));
    const scale = ticks.map(tick => written(show(tick), LEFT - 6, y(tick) + 4, "end"));
    const names = [written(across, (LEFT + width - RIGHT) / 2, HEIGHT - 6), written(down, 0, 10, "start")];
    const parts = bars.flatMap((bar, place) => {
      const middle = LEFT + step * (place + 0.5), isNamed = labels && (step > 28 || (bars.length - place) % 2);
      const value = labels && bar.values.length === 1 && bar.values[0] && step > 30 ? show(bar.values[0], 1) : "";
      return [
        ...columns(bar.values, middle, step, y),
        ...isNamed ? [written(bar.label ?? bar.name, middle, HEIGHT - UNDER + 14)] : [],
        ...value ? [written(value, middle, y(bar.values[0]) - 4)] : [],
        target(bar, middle, step, () => pick(facet, bar.name), focusable),
      ];
    });
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    svg.setAttribute("height", HEIGHT);
    svg.replaceChildren(...grid, ...scale, ...parts, ...names);
  };
  $("figures").append(picture);
}

const written = (text, x, y, anchor = "middle") => element("text", { x, y, "text-anchor": anchor }, text);

function columns(values, middle, step, y) {
  const width = Math.min(0.8 * step / values.length, 44), start = middle - width * values.length / 2;
  return values.map((value, system) => element("rect", {
    class: system ? "bar second" : "bar", x: start + system * width, width: Math.max(width - (width > 4), 0.5),
    y: y(value), height: y(0) - y(value), rx: Math.min(2, width / 4) }));
}

function target({ title }, middle, step, onPress, focusable) {
  const about = focusable ? { tabindex: 0, role: "button", "aria-label": title } : {};
  const made = element("rect", {
    class: "target", x: middle - step / 2, width: step, y: ABOVE, height: HEIGHT - ABOVE - UNDER, ...about,
  }, element("title", {}, title));
  made.onclick = onPress;
  made.onkeydown = event => { if (event.key === "Enter") onPress(); };
  return made;
}

const used = groups => groups.slice(0, groups.findLastIndex(group => group.utterances) + 1);
const AXES = {
  speaker: ["WER by speaker", `speakers, the lowest WER${two ? " of A" : ""} first`],
  duration: ["WER by duration", "seconds, up to"],
  length: ["WER by length", "words in the reference, up to"],
};

function showPictures(groups) {
  showDistribution();
  for (const [facet, [caption, across]] of Object.entries(AXES)) {
    const found = groups[facet] ?? [];
    if (found.length > 1) showRates(facet, caption, across, facet === "speaker" ? found.toReversed() : found);
  }
  const redraw = () => { for (const picture of $("figures").children) picture.draw(); };
  new ResizeObserver(redraw).observe($("figures"));
  addEventListener("beforeprint", redraw);
}

function showDistribution() {
  const facet = two ? "change" : "wer", order = two ? CHANGES.map(String) : [...SHARES.map(String), "more"];
  const bars = grouped(facet, order).map(({ name, utterances: count }) => ({
    name, values: [count], title: `${facets[facet].label(name)}: ${plural(count, "utterance")}`,
    label: two && Number(name) ? signed(Number(name)) : name,
  }));
  chart({
    facet, bars, show: count => whole(count), least: 1, focusable: true, down: "utterances",
    caption: two ? "How many errors B makes more" : "How the errors are spread",
    across: two ? `errors of B − errors of A (${most}: or more)` : "WER of the utterance, %, up to",
  });
}

function showRates(facet, caption, across, groups) {
  const bars = groups.map(({ name, rates, utterances: count, words }) => ({
    name, values: rates.map(share => 100 * share),
    title: [`${facets[facet].label(name)}: WER ${rates.map(share => percent(share)).join(" and ")}`,
      plural(count, "utterance"), plural(words, "word")].join(", "),
  }));
  const labels = facet !== "speaker" || bars.length <= 12;
  const show = (value, digits) => value === Infinity ? "∞" : digits ? value.toFixed(digits) : String(Number(value.toFixed(2)));
  chart({ facet, bars, show, labels, caption, down: "WER, %", across: labels ? across : `${bars.length} ${across}` });
}

function table(caption, heads, rows) {
  const kind = place => place ? { class: "number" } : {};
  const head = heads.map((name, place) => element("th", { scope: "col", ...kind(place) }, name));
  const parts = [element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)];
  return element("div", {},
    element("h3", {}, caption), element("div", { class: "scroll" }, element("table", { "aria-label": caption }, ...parts)));
}

function tableRow(facet, name, label, numbers) {
  const button = element("button", {}, label), cells = numbers.map(number => element("td", { class: "number" }, number));
  button.onclick = () => pick(facet, name);
  return element("tr", { "data-facet": facet, "data-name": name }, element("td", {}, button), ...cells);
}

function showGroups(groups) {
  const heads = { speaker: "Speaker", duration: "Seconds", length: "Words said" };
  const inPoints = share => (100 * share).toFixed(1);
  for (const [facet, all] of Object.entries(groups)) {
    const withWords = !two && facet !== "length";
    const label = name => facet === "speaker" ? name || "not known" : named[facet][name].replace(/ (s|words)$/, "");
    const rows = all.filter(group => group.utterances).map(({ name, utterances: count, words, errors, rates }) =>
      tableRow(facet, name, label(name), [
        whole(count), ...withWords ? [whole(words)] : [], ...two ? [] : [whole(errors[0])],
        ...rates.map(share => percent(share)), ...two ? [signed(rates[1] - rates[0], inPoints)] : [],
      ]));
    const columns = ["Utt.", ...withWords ? ["Words"] : [], ...two ? ["A", "B", "B − A"] : ["Errors", "WER"]];
    $("groups").append(table(AXES[facet][0], [heads[facet], ...columns], rows));
  }
}

function showPairs() {
  const all = [...pairs.values()].sort((left, right) => right.count - left.count || compare(left.key, right.key));
  for (const [kind, name] of Object.entries(PAIRS)) {
    const found = all.filter(pair => pair.kind === kind);
    const rows = found.slice(0, LISTED).map(pair => tableRow("pair", pair.key, pairName(pair), [whole(pair.count)]));
    const caption = found.length > LISTED ? `${name} (first ${LISTED} of ${whole(found.length)})` : name;
    $("pairs").append(table(caption, [isChange(kind) ? "Said → heard" : "Word", "Times"], rows));
  }
}

/* Beginning, mouse and keys. */

showHead();
const groups = {
  speaker: grouped("speaker").sort((left, right) => right.rates[0] - left.rates[0]),
  duration: used(grouped("duration", [...DURATIONS.map(String), "more"])),
  length: used(grouped("length", [...LENGTHS.map(String), "more"])) };
if (utterances.every(utterance => !utterance.speaker)) delete groups.speaker;
if (utterances.every(utterance => utterance.duration === null)) delete groups.duration;
showPictures(groups);
showGroups(groups);
showPairs();
if (unknown.size) {
  const shownAs = element("span", { class: "unknown" }, "not in the lexicon");
  $("legend").append(element("li", { class: "word" }, shownAs));
}
$("kind").append(...Object.entries(kinds).map(([name, [label]]) => element("option", { value: name }, label)));
const orders = Object.entries(sorts).map(([name, [label]]) => element("button", { "data-sort": name }, label));
$("sorts").append(element("span", { class: "quiet" }, "Sort by"), ...orders);
readState();
refresh();

$("text").oninput = () => change({ text: $("text").value });
$("kind").onchange = () => change({ kind: $("kind").value });
$("sorts").onclick = ({ target: { dataset: { sort } } }) => {
  if (sort) change({ sort, up: sort === state.sort ? !state.up : rising(sort) });
};
$("more").onclick = more;
const nearEnd = seen => { if (seen.some(entry => entry.isIntersecting)) more(); };
new IntersectionObserver(nearEnd, { rootMargin: "600px" }).observe($("more"));
$("close").onclick = stop;
document.querySelector("nav").onclick = event => {  // the address holds the view
  if (!event.target.dataset.part) return;
  event.preventDefault();
  $(event.target.dataset.part).scrollIntoView();
};
$("list").addEventListener("focusin", event => mark(event.target.closest(".utterance")));
$("list").onclick = event => {
  const item = event.target.closest(".utterance"), at = event.target.closest("[data-at]")?.dataset.at;
  if (!item) return;
  if (at !== undefined) play(item, Number(at));
  else if (event.target.closest(".play")) playing === item.utterance && !audio.paused ? audio.pause() : play(item);
  else mark(item);
};
audio.onplay = audio.onpause = audio.ontimeupdate = follow;
audio.onerror = () => {
  $("unplayable").textContent = `This recording cannot be played: ${source}`;
  $("unplayable").hidden = false;
};
addEventListener("hashchange", () => { readState(); refresh(); });

function nextWord(step) {
  const item = $("list").children[Math.max(current, 0)], words = [...item?.querySelectorAll("[data-at]") ?? []];
  words[Math.max(0, words.indexOf(document.activeElement) + step)]?.focus();
}

function clear() {
  if (!$("player").hidden) stop();
  change({ text: "", kind: "all", picks: {} });
  document.activeElement.blur();
}

const keys = {
  j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
  ArrowRight: () => nextWord(1), ArrowLeft: () => nextWord(-1),
  " ": toggle, "/": () => { $("text").focus(); $("text").select(); }, "?": () => $("help").showModal(), Escape: clear,
};
addEventListener("keydown", event => {
  const { target, key } = event, isTyping = target.matches("input, select, audio"), inList = target.closest("#list");
  if ($("help").open || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, key)) return;
  if (isTyping && key !== "Escape") return;
  if (key === " " && target.matches("button, [role=button]")) return;
  if (key.startsWith("Arrow") && !inList) return;
  event.preventDefault();
  keys[key]();
});
