// The page of the prediction gateway. It knows one thing at a time: the subject, which is what the model is asked about.
// The subject is null (nothing yet), {file}, or whatever the item's form makes of what a person does; a new object is a
// new question, so an answer that comes back late for an old one is recognised and dropped.
//
// How an item is given and how an answer is shown is the business of a script for each form, in forms/.

const PAUSE = 100; // ms, between an answer and the next request
const RETRY = 2000; // ms, between two looks for a gateway that was not ready
const LOOK = 3000; // ms, between two looks whether another version answers
const PATIENCE = 30000; // ms, the longest wait for an answer
const PATIENCE_WITH_FILE = 600000; // what is large is sent and looked at for minutes
const REST = 800; // ms without a new answer before it is read out

const $ = (id) => document.getElementById(id);
const file = $("file");
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)}\u00a0%`;

let model = null; // the last answer of GET /model
let item = null; // what the script of the item's form made
let answer = null; // and that of the answer's
let subject = null;
let early = null; // a file that somebody chose before it was known which model answers
let stale = false; // the subject changed since it was last sent
let busy = false; // a request is in flight
let waiting = false; // for a gateway that is ready
let looking = false; // whether another version answers
let thumbnailUrl = "";
let speaking = 0;

// ── The gateway ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Fetches JSON; throws an Error with a message for people and the HTTP status, 0 where no answer came. */
async function call(path, options = {}, patience = PATIENCE) {
  let response;
  try {
    response = await fetch(path, { ...options, signal: AbortSignal.timeout(patience) });
  } catch {
    throw Object.assign(new Error("The gateway does not answer."), { status: 0 });
  }
  // What stands in front of the gateway may refuse in HTML, or in nothing at all.
  const body = await response.json().catch(() => null);
  if (response.ok && body) return { body, headers: response.headers };
  const most = model ? `, at most ${Math.floor(model.most_bytes / 1e6)} MB` : "";
  const tooLarge = `The ${model?.noun || "request"} is too large${most}.`;
  const fallback = response.status === 413 ? tooLarge : "The gateway gave no usable answer.";
  throw Object.assign(new Error(body?.error ?? `${fallback} (HTTP ${response.status})`), { status: response.status });
}

/** Gets what answers now, and shows it where it is another version than before; gives whether it is. */
async function loadModel() {
  const { body } = await call("model", { cache: "no-cache" }); // the browser asks, and is told where nothing changed
  if (body.name === model?.name && body.version === model.version) return false;
  const before = model;
  const another = form(before) !== form(body);
  // Both scripts come first, so that nobody can give an item that a page still being built would throw away.
  const scripts = another ? await Promise.all([script("items", body.item), script("answers", body.kind)]) : [];
  for (const { prepare } of scripts) await prepare?.(body, script);
  page.model = body;
  if (another) {
    $("keys").replaceChildren();
    item = mount(scripts[0], $("item"));
    answer = mount(scripts[1], $("answer"));
  }
  model = body;
  showModel(before);
  if (another) restart();
  return true;
}

/** What the scripts of the forms know of a model: where two have the same, what is shown can stay. */
function form(model) {
  const { name, version, summary, figures, ...rest } = model ?? {};
  return JSON.stringify(rest);
}

/** Gets the script of a form. */
function script(kind, name) {
  return import(`./forms/${kind}/${name}.js`).catch(() => {
    throw Object.assign(new Error("The gateway gave a part of this page only; load it again."), { status: 0 });
  });
}

/** Shows a form; what its script makes knows how to go on. */
function mount(script, place) {
  place.className = "";
  place.replaceChildren();
  return script.default(place, page);
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
    answer.waiting();
    const options = { method: "POST", ...(await item.body(asked)) };
    const { body, headers } = await call("predict", options, asked.file ? PATIENCE_WITH_FILE : PATIENCE);
    const [name, version] = ["X-Model-Name", "X-Model-Version"].map((header) => headers.get(header));
    if ((name ?? model.name) !== model.name || (version ?? model.version) !== model.version) await loadModel();
    if (asked !== subject) return;
    say("");
    answer.show(body);
    item.seen?.(body);
  } catch (error) {
    if (asked !== subject) return;
    answer.show(null);
    item.seen?.(null);
    // A connection that breaks during an upload is often a size limit, and then would break every time.
    const perhapsTooLarge = error.status === 0 && asked.file;
    say(perhapsTooLarge ? `${error.message} Or the ${model.noun} is too large for it.` : error.message);
    if ([0, 429, 503].includes(error.status) && !perhapsTooLarge) waitForModel(RETRY);
  }
}

// ── What is shown ────────────────────────────────────────────────────────────────────────────────────────────────────

function say(text) {
  if ($("message").textContent !== text) $("message").textContent = text; // set again, it would be read out again
}

/** What a screen reader reads out, once nothing else came for a while. */
function speak(text, delay = REST) {
  clearTimeout(speaking);
  speaking = setTimeout(() => ($("spoken").textContent = text), delay);
}

function showModel(before) {
  document.title = `${model.name} · version ${model.version}`;
  $("model-name").textContent = model.name;
  $("model-version").textContent = model.version;
  $("summary").textContent = model.summary;
  $("input").classList.toggle("no-files", !item.files);
  file.accept = item.files;
  document.querySelectorAll(".noun").forEach((word) => (word.textContent = model.noun));
  $("curl").textContent = item.curl(new URL("predict", location.href)) + answer.curl;
  if (before && before.version !== model.version) $("promoted").textContent = `now version ${model.version}`;
  $("figures").replaceChildren(...Object.entries(model.figures ?? {}).map(([name, value]) => {
    const row = document.createElement("div");
    row.append(document.createElement("dt"), document.createElement("dd"));
    const words = name.replaceAll("_", " ");
    row.firstChild.textContent = words[0].toUpperCase() + words.slice(1);
    row.lastChild.textContent = figure(name, value);
    return row;
  }));
}

function figure(name, value) {
  if (!Number.isFinite(value)) return String(value ?? "–");
  if (/accuracy|precision|recall/.test(name)) return percent(value, 2);
  return value.toLocaleString("en", { maximumSignificantDigits: Number.isInteger(value) ? 21 : 3 });
}

const styled = new Set(); // rules that were added

/** What the scripts of the forms may use. */
const page = {
  model: null,
  get subject() {
    return subject;
  },
  begin,
  ask,
  speak,
  percent,
  /** Adds rules to those of the page, which allows no style sheet of its own within the document. */
  style(css) {
    if (styled.has(css)) return;
    styled.add(css);
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    document.adoptedStyleSheets.push(sheet);
  },
  /** The request with a file. */
  upload(data, name) {
    const form = new FormData();
    form.append(page.model.field, data, name);
    return { body: form };
  },
  /** The request with numbers, which come as JSON. */
  json: (numbers) => ({
    headers: { "Content-Type": "application/json" },
    body: `{"${page.model.field}": ${numbers}}`,
  }),
};
// ── The subject ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Begins anew: with null on a blank page, with {file} on a file. */
function begin(next) {
  subject = next;
  item?.begin(next);
  URL.revokeObjectURL(thumbnailUrl);
  thumbnailUrl = next?.file ? URL.createObjectURL(next.file) : "";
  $("picture").hidden = !next?.file;
  $("thumbnail").hidden = false; // until it turns out to be no image
  $("thumbnail").src = thumbnailUrl;
  $("file-name").textContent = next?.file?.name ?? "";
  if (!next) answer?.show(null);
  if (!waiting) say("");
}

/** Begins anew with what the item's form begins with, if anything. */
function restart() {
  begin(item?.first ?? (item?.files ? early : null));
  early = null;
  if (subject && !waiting) ask();
}

function choose(files) {
  if (!files?.length) return;
  if (!item) early = { file: files[0] };
  if (!item?.files) return;
  begin({ file: files[0] });
  ask();
}

$("clear").addEventListener("click", restart);
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

document.addEventListener("visibilitychange", look);
setInterval(look, LOOK);
waitForModel();
