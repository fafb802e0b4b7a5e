"use strict";
const $ = id => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const { duration, frame, tokens, words, views, hertz } = data;
const audio = $("audio"), stack = $("stack");
const ROWS = 4;  // of labels that would lie on each other
const LEAST_WIDTH = 48;  // pixels for a second, so that labels can be read
const LIKELY = 3;  // tokens that are told of

let view = views[0], panels = [], moment = -1, unit = -1, drawing = 0;

const bytes = text => Uint8Array.from(atob(text), character => character.charCodeAt(0));
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
const seconds = time_s => `${(data.start + time_s).toFixed(2)} s`;
const percent = share => `${Math.round(100 * share)} %`;
const signed = value => value.toFixed(2).replace("-", "−");
const shown = spelling => spelling.replaceAll(" ", "␣");
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const hue = token => `hsl(${token * 137 % 360} 65% ${colour("--lightness")})`;

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/* Maps: (steps, columns) bytes, drawn with the time to the right. */

for (const map of [data.sound, data.features, tokens, ...views.flatMap(({ maps, attention }) => attention ? [...maps, attention] : maps)]) {
  map.data = bytes(map.data);
  map.steps = map.data.length / map.columns;
}
const frames = tokens.steps;
const valueAt = (map, step, column) => map.low + (map.high - map.low) * map.data[step * map.columns + column] / 255;

/** 256 colours that go from one to the next. */
function ramp(...names) {
  const stops = names.map(name => colour(name).match(/[0-9a-f]{2}/gi).map(digits => parseInt(digits, 16)));
  return Array.from({ length: 256 }, (_, level) => {
    const place = level / 255 * (stops.length - 1), before = Math.min(Math.floor(place), stops.length - 2);
    return stops[before].map((from, channel) => from + (place - before) * (stops[before + 1][channel] - from));
  });
}

function painted(map, colours, upwards) {
  const image = new ImageData(map.steps, map.columns);
  for (let step = 0; step < map.steps; step++) for (let column = 0; column < map.columns; column++) {
    const row = upwards ? map.columns - 1 - column : column;
    image.data.set([...colours[map.data[step * map.columns + column]], 255], 4 * (row * map.steps + step));
  }
  const canvas = element("canvas");
  [canvas.width, canvas.height] = [map.steps, map.columns];
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** A map over the whole height of a panel, each step around its time. */
function drawMap(context, width, height, map, colours, step_s, upwards = false) {
  const x = time_s => time_s / duration * width;
  context.imageSmoothingEnabled = false;
  context.drawImage(painted(map, colours, upwards), x(-step_s / 2), 0, x(map.steps * step_s), height);
}

/** For labels from left to right the first row in which each has room. */
function rowsOf(labels) {
  const until = Array(ROWS).fill(-Infinity);
  return labels.map(({ x, width }) => {
    const free = until.findIndex(end => end <= x - width / 2);
    const row = free < 0 ? until.indexOf(Math.min(...until)) : free;
    until[row] = x + width / 2;
    return row;
  });
}

/* The panels: how each is drawn, and what it says of a moment. */

function drawSound(context, width, height) {
  const { data: bounds, steps } = data.sound;
  context.fillStyle = colour("--ink");
  for (let step = 0; step < steps; step++) {
    const [top, foot] = [1 - bounds[2 * step + 1] / 255, 1 - bounds[2 * step] / 255];
    context.fillRect(step / steps * width, top * height, Math.max(1, width / steps), Math.max(1, (foot - top) * height));
  }
}

function drawTokens(context, width, height) {
  const x = index => index * frame / duration * width;
  const labels = tokens.path.map(([token, start, end]) => {
    let peak = start;
    for (let index = start; index < end; index++) if (valueAt(tokens, index, token) > valueAt(tokens, peak, token)) peak = index;
    return { token, x: x(peak), width: 10 };
  });
  const rows = rowsOf(labels), head = 16 + 13 * Math.max(0, ...rows);
  const y = probability => head + (height - head) * (1 - probability);
  const trace = (token, start, end) => {
    for (let index = start; index < end; index++) context.lineTo(x(index), y(valueAt(tokens, index, token)));
  };
  context.fillStyle = colour("--line");
  context.beginPath();
  context.moveTo(0, height);
  trace(0, 0, frames);
  context.lineTo(x(frames - 1), height);
  context.fill();
  context.lineWidth = 1.5;
  for (const token of new Set(tokens.path.map(([each]) => each))) {
    context.strokeStyle = hue(token);
    context.beginPath();
    trace(token, 0, frames);
    context.stroke();
  }
  context.textAlign = "center";
  context.font = "13px system-ui, sans-serif";
  labels.forEach((label, place) => {
    context.fillStyle = hue(label.token);
    context.fillText(shown(tokens.spellings[label.token]), clamp(label.x, 5, width - 5), head - 5 - 13 * rows[place]);
  });
}

function drawWords(context, width, height) {
  const x = time_s => time_s / duration * width;
  context.font = "13px system-ui, sans-serif";
  context.textAlign = "center";
  const labels = words.map(([text, start, end]) => {
    const size = context.measureText(text).width + 8;
    return { text, x: clamp(x((start + end) / 2), size / 2, Math.max(size / 2, width - size / 2)), width: size };
  });
  const rows = rowsOf(labels);
  words.forEach(([text, start, end], place) => {
    context.fillStyle = colour("--accent");
    context.fillRect(x(start), 0, Math.max(2, x(end) - x(start) - 1), 4);
    context.fillStyle = colour("--ink");
    context.fillText(text, labels[place].x, 18 + 14 * rows[place]);
  });
  drawTimes(context, width, height);
}

function drawTimes(context, width, height) {
  const least = duration * 60 / width;
  const step = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20].find(each => each >= least) ?? 60;
  context.fillStyle = colour("--quiet");
  context.font = "11px system-ui, sans-serif";
  for (let time_s = 0; time_s < duration; time_s += step) {
    const x = time_s / duration * width;
    context.fillRect(x, height - 17, 1, 4);
    context.textAlign = x < 10 ? "left" : x > width - 14 ? "right" : "center";
    context.fillText(`${+(data.start + time_s).toFixed(2)}`, x, height - 2);
  }
}

const name = map => map.name === "cell" ? "cell state" : map.name;
const isGate = map => map.low === 0;

function sayMap(map) {
  let total = 0;
  for (let column = 0; column < map.columns; column++) total += Math.abs(valueAt(map, moment, column));
  const mean = `mean${isGate(map) ? "" : " size"} ${(total / map.columns).toFixed(2)}`;
  return unit < 0 ? mean : `${mean}, unit ${view.units[unit]}: ${signed(valueAt(map, moment, unit))}`;
}

function sayAttention(map) {
  const row = Math.floor(moment / frames * map.steps);
  let best = 0;
  for (let column = 1; column < map.columns; column++) if (valueAt(map, row, column) > valueAt(map, row, best)) best = column;
  return `this frame looks most to ${seconds(best / map.columns * frames * frame)}`;
}

function sayFeatures() {
  const step = clamp(Math.round(moment * frame / data.features.step), 0, data.features.steps - 1);
  let best = 0;
  for (let bin = 1; bin < hertz.length; bin++) if (valueAt(data.features, step, bin) > valueAt(data.features, step, best)) best = bin;
  return `most at ${hertz[best]} Hz`;
}

function likely() {
  const probabilities = tokens.spellings.map((spelling, token) => [shown(spelling), valueAt(tokens, moment, token)]);
  return probabilities.sort(([, a], [, b]) => b - a).slice(0, LIKELY).filter(([, share]) => share >= 0.005);
}

const sayTokens = () => likely().map(([spelling, share]) => `${spelling} ${percent(share)}`).join(", ");
const wordNow = () => words.find(([, start, end]) => start <= moment * frame + 1e-6 && moment * frame + 1e-6 < end);

function sayWord() {
  const word = wordNow();
  return word ? `${word[0]}, ${seconds(word[1])} to ${seconds(word[2])}, confidence ${percent(word[3])}` : "";
}

function panel(title, height, draw, say = () => "", map = null) {
  const canvas = element("canvas"), value = element("span");
  canvas.style.height = `${height}px`;
  const figure = element("figure", map ? { class: "map" } : {}, element("figcaption", {}, element("b", {}, title), value), canvas);
  return { figure, canvas, value, height, draw, say, map };
}

function build() {
  const low = () => ramp("--least", "--middle", "--most"), both = () => ramp("--negative", "--zero", "--positive");
  const { maps, attention } = view;
  panels = [
    panel("sound", 44, drawSound),
    panel("log-mel", 90, (...place) => drawMap(...place, data.features, low(), data.features.step, true), sayFeatures),
    ...attention ? [panel("attention", 280, (...place) =>
      drawMap(...place, attention, low(), frames * frame / attention.steps, true), () => sayAttention(attention))] : [],
    ...maps.map(map => panel(name(map), clamp(2 * map.columns, 48, 110),
      (...place) => drawMap(...place, map, isGate(map) ? low() : both(), frame), () => sayMap(map), map)),
    panel("CTC", 130, drawTokens, sayTokens),
    panel("words", 96, drawWords, sayWord),
  ];
  $("panels").replaceChildren($("moment"), ...panels.map(({ figure }) => figure));
  unit = -1;
  const some = view.units.length < view.of ? `${view.units.length} of ${view.of}` : `all ${view.of}`;
  $("facts").textContent = `${data.model}: ${data.encoder}; ${some} units, ordered by when their outputs peak`;
  redraw();
}

function redraw() {
  const scale = devicePixelRatio || 1;
  for (const { canvas, height, draw } of panels) {
    const width = canvas.clientWidth, context = canvas.getContext("2d");
    [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
    context.setTransform(scale, 0, 0, scale, 0, 0);
    draw(context, width, height);
  }
  tell();
}

/* The moment that is looked at. */

function tell() {
  $("moment").hidden = moment < 0;
  if (moment < 0) {
    $("now").textContent = "Point at a moment, or press an arrow key";
    return;
  }
  const width = panels[0].canvas.clientWidth, x = time_s => clamp(time_s / duration, 0, 1) * width;
  const from = x((moment - 0.5) * frame);
  $("moment").style.left = `${from}px`;
  $("moment").style.width = `${Math.max(1, x((moment + 0.5) * frame) - from)}px`;
  for (const each of panels) each.value.textContent = each.say();
  const said = [sayTokens(), wordNow()?.[0]].filter(Boolean).join(" · ");
  $("now").replaceChildren(element("b", {}, seconds(moment * frame)), ` ${said}`);
  stack.setAttribute("aria-valuenow", (moment * frame).toFixed(2));
  stack.setAttribute("aria-valuetext", $("now").textContent);
}

function look(index) {
  moment = clamp(index, 0, frames - 1);
  tell();
  const at = $("moment").offsetLeft - stack.scrollLeft;
  if (at < 0 || at > stack.clientWidth) stack.scrollLeft += at - stack.clientWidth / 2;
}

const frameAt = event => {
  const { left, width } = panels[0].canvas.getBoundingClientRect();
  return Math.round(clamp((event.clientX - left) / width, 0, 1) * duration / frame);
};

function point(event) {
  const found = panels.find(({ canvas, map }) => map && canvas === event.target);
  unit = found ? clamp(Math.floor(event.offsetY / found.height * found.map.columns), 0, found.map.columns - 1) : -1;
  if (audio.paused) look(frameAt(event));
  else tell();
}

function playFrom(index) {
  look(index);
  audio.currentTime = Math.min(moment * frame, Math.max(0, duration - 0.01));
  audio.play().catch(() => {});  // told by the error event, or stopped again at once
}

const toggle = () => audio.paused ? playFrom(moment < 0 || moment >= frames - 1 ? 0 : moment) : audio.pause();

function follow() {
  if (audio.paused) return;
  look(Math.round(audio.currentTime / frame));
  requestAnimationFrame(follow);
}

function press(event) {
  if (event.target === $("view") || event.ctrlKey || event.metaKey || event.altKey) return;
  const many = event.shiftKey ? 10 : 1, last = view.units.length - 1;
  const upDown = step => { unit = clamp(unit + step, 0, last); look(Math.max(0, moment)); };
  const keys = {
    ArrowLeft: () => look(moment - many), ArrowRight: () => look(moment + many), Home: () => look(0), End: () => look(frames - 1),
    ...document.activeElement === stack && { ArrowUp: () => upDown(-many), ArrowDown: () => upDown(many) },
    ...event.target !== $("play") && { " ": toggle, Enter: () => playFrom(moment) },
  };
  if (!keys[event.key]) return;
  event.preventDefault();
  if (event.key.length > 1 && event.key !== "Enter") audio.pause();
  keys[event.key]();
}

stack.onpointermove = point;
stack.onclick = event => { if (event.target.tagName === "CANVAS") playFrom(frameAt(event)); };
$("play").onclick = toggle;
$("view").onchange = () => { view = views[$("view").selectedIndex]; build(); };
addEventListener("keydown", press);
audio.onplay = () => { $("play").textContent = "Stop"; follow(); };
audio.onpause = audio.onended = () => { $("play").textContent = "Play"; };
audio.onerror = () => { $("unplayable").hidden = false; };

const later = () => { cancelAnimationFrame(drawing); drawing = requestAnimationFrame(redraw); };
new ResizeObserver(later).observe(stack);
matchMedia("(prefers-color-scheme: dark)").onchange = later;

document.title = $("title").textContent = data.source || "recording";
$("panels").style.minWidth = `${LEAST_WIDTH * duration}px`;
stack.setAttribute("aria-valuemax", duration.toFixed(2));
$("view").replaceChildren(...views.map(({ layer, direction }) => element("option", {}, `layer ${layer}${direction ? `, ${direction}` : ""}`)));
$("view").hidden = views.length < 2;
audio.src = URL.createObjectURL(new Blob([bytes($("sound").textContent)], { type: "audio/flac" }));
build();
