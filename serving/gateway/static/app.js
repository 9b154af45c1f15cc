// The page of the prediction gateway. It knows one thing at a time: the subject, which is what the model is asked about.
// The subject is null (blank page), {} (the drawing on the pad) or {file} (a picture); a new object is a new question,
// so an answer that comes back late for an old one is recognised and dropped.

const PAUSE = 100; // ms, between an answer and the next request
const RETRY = 2000; // ms, between two looks for a gateway that was not ready
const LOOK = 3000; // ms, between two looks whether another version answers
const PATIENCE = 30000; // ms, the longest wait for an answer
const REST = 800; // ms without a new answer before it is read out
const STROKE = 52; // of the pad's 560, which makes 2.6 pixels of 28
const STEP = 14; // how far an arrow key moves the pen
const MOST_BARS = 10; // of more labels than that,
const TOP_BARS = 5; // the likeliest are shown

const $ = (id) => document.getElementById(id);
const [pad, pen, paper, bars, seen, file] = ["pad", "pen", "paper", "bars", "seen", "file"].map($);
const ink = pad.getContext("2d");
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)}\u00a0%`;

let model = null; // the last answer of GET /model
let subject = null;
let stale = false; // the subject changed since it was last sent
let busy = false; // a request is in flight
let waiting = false; // for a gateway that is ready
let looking = false; // whether another version answers
let thumbnailUrl = "";
let speaking = 0;

// ── The gateway ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Fetches JSON; throws an Error with a message for people and the HTTP status, 0 where no answer came. */
async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, signal: AbortSignal.timeout(PATIENCE) });
  } catch {
    throw Object.assign(new Error("The gateway does not answer."), { status: 0 });
  }
  // What stands in front of the gateway may refuse in HTML, or in nothing at all.
  const body = await response.json().catch(() => null);
  if (response.ok && body) return { body, headers: response.headers };
  const fallback = response.status === 413 ? "The picture is too large, at most 10 MB." : "The gateway gave no usable answer.";
  throw Object.assign(new Error(body?.error ?? `${fallback} (HTTP ${response.status})`), { status: response.status });
}

/** Gets what answers now, and shows it where it is another version than before; gives whether it is. */
async function loadModel() {
  const { body } = await call("model", { cache: "no-cache" }); // the browser asks, and is told where nothing changed
  if (body.name === model?.name && body.version === model.version) return false;
  const before = model;
  model = body;
  showModel(before);
  return true;
}

/** Looks for a promotion or a rollback; where there was one, asks the new version about the subject. */
async function look() {
  if (document.hidden || waiting || looking) return;
  looking = true;
  try {
    if ((await loadModel()) && subject) ask();
  } catch (error) {
    if (!waiting) sayAndWait(error);
  } finally {
    looking = false;
  }
}

function sayAndWait(error) {
  say(`${error.message} Trying again every ${RETRY / 1000} seconds.`);
  waitForModel(RETRY);
}

/** Asks for the model until there is one, then asks again about the subject. */
async function waitForModel(pause = 0) {
  waiting = true;
  await sleep(pause);
  try {
    await loadModel();
  } catch (error) {
    sayAndWait(error);
    return;
  }
  waiting = false;
  if (subject) ask();
  else say("");
}

/** Sends the newest state of the subject, one request at a time: what was drawn during a request goes into the next. */
async function ask() {
  stale = true;
  if (busy) return;
  busy = true;
  while (stale && !waiting) {
    stale = false;
    if (subject) await predict(subject);
    await sleep(PAUSE);
  }
  busy = false;
}

async function predict(asked) {
  try {
    if (model.kind === "picture") $("made-state").textContent = "Painting…";
    const form = new FormData();
    const image = asked.file ?? (await new Promise((resolve) => pad.toBlob(resolve, "image/png")));
    form.append("image", image, asked.file?.name ?? "drawing.png");
    const { body, headers } = await call("predict", { method: "POST", body: form });
    const [name, version] = ["X-Model-Name", "X-Model-Version"].map((header) => headers.get(header));
    if ((name ?? model.name) !== model.name || (version ?? model.version) !== model.version) await loadModel();
    if (asked !== subject) return;
    say("");
    showAnswer(body);
  } catch (error) {
    if (asked !== subject) return;
    showAnswer(null);
    // A connection that breaks during an upload is often a size limit, and then would break every time.
    const perhapsTooLarge = error.status === 0 && asked.file;
    say(perhapsTooLarge ? `${error.message} Or the picture is too large for it.` : error.message);
    if ([0, 429, 503].includes(error.status) && !perhapsTooLarge) waitForModel(RETRY);
  }
}

// ── What is shown ────────────────────────────────────────────────────────────────────────────────────────────────────

function say(text) {
  if ($("message").textContent !== text) $("message").textContent = text; // set again, it would be read out again
}

function speak(text, delay) {
  clearTimeout(speaking);
  speaking = setTimeout(() => ($("spoken").textContent = text), delay);
}

function showModel(before) {
  document.title = `${model.name} · version ${model.version}`;
  $("model-name").textContent = model.name;
  $("model-version").textContent = model.version;
  $("summary").textContent = model.summary;
  $("input").dataset.picture = model.picture;
  $("main").dataset.kind = model.kind;
  $("curl").textContent = `curl -F image=@picture.png ${new URL("predict", location.href)}${
    model.kind === "picture" ? " | jq -r .picture | base64 -d > made.png" : ""
  }`;
  if (before && before.version !== model.version) $("promoted").textContent = `now version ${model.version}`;
  $("figures").replaceChildren(...Object.entries(model.figures ?? {}).map(([name, value]) => {
    const row = document.createElement("div");
    row.append(document.createElement("dt"), document.createElement("dd"));
    const words = name.replaceAll("_", " ");
    row.firstChild.textContent = words[0].toUpperCase() + words.slice(1);
    row.lastChild.textContent = figure(name, value);
    return row;
  }));
  if (model.kind === "picture") {
    showAnswer(null);
    return;
  }
  [seen.height, seen.width] = model.shape; // which also wipes it
  if (!before || before.labels.join() !== model.labels.join()) showBars();
}

function figure(name, value) {
  if (typeof value !== "number") return String(value ?? "–");
  if (/accuracy|precision|recall/.test(name)) return percent(value, 2);
  return value.toLocaleString("en", { maximumSignificantDigits: Number.isInteger(value) ? 21 : 3 });
}

/** Shows an answer of POST /predict, or with null that there is none. */
function showAnswer(answer) {
  if (model.kind === "picture") {
    showMade(answer?.picture);
    return;
  }
  const probabilities = answer?.probabilities[0];
  const label = answer ? model.labels[answer.prediction] ?? String(answer.prediction) : "–";
  const confidence = answer ? percent(probabilities[answer.prediction]) : "no answer yet";
  $("prediction").textContent = label;
  $("prediction").className = !answer ? "none" : label.length > 2 ? "long" : "";
  $("confidence").textContent = confidence;
  speak(answer ? `${label}, ${confidence}` : "", REST);
  showBars(probabilities, answer?.prediction);
  showSeen(answer?.image);
}

/** Shows the picture that was made, a PNG file in base64; without one, what is waited for. */
function showMade(picture) {
  const state = picture ? "" : subject ? "no picture yet" : "Choose a picture to see it here.";
  $("made-picture").hidden = $("save").hidden = !picture;
  $("made-picture").src = $("save").href = picture ? `data:image/png;base64,${picture}` : "";
  $("made-state").textContent = state;
  speak(picture ? "The picture is made." : "", REST);
}

function showBars(probabilities, prediction) {
  let rows = model.labels.map((label, index) => ({ label, share: probabilities?.[index], top: index === prediction }));
  // What is in a photograph has no order of its own to keep, as digits have.
  if (rows.length > MOST_BARS || model.picture === "photograph") {
    // Before an answer no label is ahead of the others, so none is named.
    rows = rows.sort((a, b) => b.share - a.share).slice(0, TOP_BARS);
    if (!probabilities) rows.forEach((row) => (row.label = "–"));
  }
  while (bars.children.length > rows.length) bars.lastElementChild.remove();
  while (bars.children.length < rows.length) bars.append($("bar").content.firstElementChild.cloneNode(true));
  rows.forEach(({ label, share, top }, index) => {
    const row = bars.children[index];
    row.classList.toggle("top", top);
    row.querySelector(".label").textContent = label;
    row.querySelector(".fill").style.transform = `translateX(${100 * ((share ?? 0) - 1)}%)`;
    row.querySelector(".percent").textContent = share === undefined ? "" : percent(share);
  });
}

function showSeen(image) {
  const context = seen.getContext("2d");
  context.clearRect(0, 0, seen.width, seen.height);
  if (!image) return;
  const pixels = new ImageData(seen.width, seen.height);
  const channels = image.length / (seen.width * seen.height); // 1 is grey, 3 is red, green, blue
  for (let i = 0; i < seen.width * seen.height; i++) {
    for (let c = 0; c < 3; c++) {
      pixels.data[4 * i + c] = (255 / model.white) * image[channels * i + (channels === 3 ? c : 0)];
    }
    pixels.data[4 * i + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
}

// ── The subject ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Begins anew: with null on a blank page, with {} on the pad, with {file} on a picture. */
function begin(next) {
  subject = next;
  paper.classList.toggle("blank", !next || "file" in next);
  ink.fillStyle = "white"; // not transparent, which a server may read as black
  ink.fillRect(0, 0, pad.width, pad.height);
  URL.revokeObjectURL(thumbnailUrl);
  thumbnailUrl = next?.file ? URL.createObjectURL(next.file) : "";
  $("picture").hidden = !next?.file;
  $("thumbnail").hidden = false; // until it turns out to be no image
  $("thumbnail").src = thumbnailUrl;
  $("file-name").textContent = next?.file?.name ?? "";
  if (model && !next) showAnswer(null);
  if (!waiting) say("");
}

function choose(files) {
  if (!files?.length) return;
  begin({ file: files[0] });
  ask();
}

const nib = { x: pad.width / 2, y: pad.height / 2, down: false };

function press(down) {
  nib.down = down;
  pen.classList.toggle("down", down);
  if (down) moveTo(nib.x, nib.y); // which leaves a dot
}

function moveTo(x, y) {
  if (nib.down) {
    if (!subject || subject.file) begin({});
    ink.fillStyle = ink.strokeStyle = "#14181f";
    ink.lineWidth = STROKE;
    ink.lineCap = "round";
    ink.beginPath();
    ink.moveTo(nib.x, nib.y);
    ink.lineTo(x, y);
    ink.stroke();
    ink.beginPath(); // a line without length draws nothing
    ink.arc(x, y, STROKE / 2, 0, 2 * Math.PI);
    ink.fill();
    ask();
  }
  Object.assign(nib, { x, y });
  pen.style.left = `${(100 * x) / pad.width}%`;
  pen.style.top = `${(100 * y) / pad.height}%`;
}

pad.addEventListener("pointerdown", (event) => {
  if (!event.isPrimary || event.button !== 0) return;
  pad.setPointerCapture(event.pointerId);
  press(false);
  moveToPointer(event);
  press(true);
});

pad.addEventListener("pointermove", (event) => {
  if (!pad.hasPointerCapture(event.pointerId)) return;
  const points = event.getCoalescedEvents?.() ?? []; // a quick hand makes more points between two frames than one
  (points.length ? points : [event]).forEach(moveToPointer);
});

pad.addEventListener("lostpointercapture", () => press(false));

function moveToPointer({ clientX, clientY }) {
  const box = pad.getBoundingClientRect();
  moveTo(((clientX - box.left) / box.width) * pad.width, ((clientY - box.top) / box.height) * pad.height);
}

const ARROWS = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
const held = new Set(); // two arrows at once draw a diagonal

pad.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in ARROWS) {
    held.add(event.key);
    const [x, y] = [0, 1].map((axis) => [...held].reduce((sum, key) => sum + ARROWS[key][axis], 0));
    moveTo(Math.min(Math.max(nib.x + x, 0), pad.width), Math.min(Math.max(nib.y + y, 0), pad.height));
  } else if (event.key === " " || event.key === "Enter") {
    if (!event.repeat) press(!nib.down);
    speak(nib.down ? "Pen down" : "Pen up", 0);
  } else if (["Delete", "Backspace", "Escape"].includes(event.key)) {
    press(false);
    begin(null);
    speak("Cleared", 0);
  } else return;
  event.preventDefault(); // the page does not scroll
});

pad.addEventListener("keyup", (event) => held.delete(event.key));
pad.addEventListener("blur", () => {
  held.clear();
  press(false);
});

$("clear").addEventListener("click", () => begin(null));
$("thumbnail").addEventListener("error", () => ($("thumbnail").hidden = true));

file.addEventListener("change", () => {
  choose(file.files);
  file.value = ""; // the same file again is a change too
});

document.addEventListener("paste", (event) => choose(event.clipboardData.files));

for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault(); // the browser would open the file in place of the page
    // Leaving one element for another within the page is no leaving.
    document.body.classList.toggle("dropping", type === "dragover" || (type === "dragleave" && !!event.relatedTarget));
    if (type === "drop") choose(event.dataTransfer.files);
  });
}

$("curl").textContent = `curl -F image=@picture.png ${new URL("predict", location.href)}`;
document.addEventListener("visibilitychange", look);
setInterval(look, LOOK);
begin(null);
waitForModel();
