"use strict";
const $ = (id) => document.getElementById(id);
const SHOWN = 12; // contributions
// Where several systems are served, the name of this one ends the address: /try/NAME, /predict/NAME.
const [, ROOT, NAME] = /^(.*\/)(?:try(?:\/([^/]+))?)?$/.exec(location.pathname) || ["", "/", ""];
const own = (path) => ROOT + path + (NAME ? "/" + NAME : ""); // it stays as it is written in the address
const state = { token: "", columns: {}, schema: null, prediction: null };

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

async function call(method, path, body) {
  const headers = {};
  if (state.token) headers.authorization = "Bearer " + state.token;
  const file = body instanceof Blob;
  if (body !== undefined) headers["content-type"] = file ? body.type || "application/octet-stream" : "application/json";
  const began = performance.now();
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: file || body === undefined ? body : JSON.stringify(body) });
  } catch {
    throw { error: "The server does not answer.", hint: "Is it still running?" };
  }
  const told = await answer.json().catch(() => ({ error: "The answer cannot be read." }));
  if (!answer.ok) throw { ...told, status: answer.status };
  return { told, took: performance.now() - began };
}

function trouble(error) {
  $("trouble").hidden = !error;
  if (!error) return;
  $("trouble").replaceChildren(error.error || String(error), error.hint ? make("em", {}, error.hint) : "");
  $("trouble").scrollIntoView({ block: "nearest" });
}

async function load() {
  trouble(null);
  try {
    const { told: server } = await call("GET", ROOT + "v2");
    if (server.systems && !NAME) {
      $("login").hidden = true;
      choose(server.systems);
      return;
    }
    const { told } = await call("GET", own("openapi.json"));
    state.schema = told;
    const { told: model } = await call("GET", ROOT + "v2/models/" + encodeURIComponent(told.info.title));
    $("login").hidden = true;
    show(told, model);
  } catch (error) {
    if (error.status === 401 || error.status === 403) {
      if (state.token) $("login-why").textContent = error.error;
      $("login").hidden = false;
      $("facts").textContent = "";
      $("token").focus();
    } else {
      $("facts").textContent = "not ready";
      trouble(error);
    }
  }
}

function choose(systems) {
  $("system").textContent = "Which system?";
  $("facts").replaceChildren(make("span", {}, "this server has several"));
  const links = systems.map((name) => make("a", { class: "button", href: ROOT + "try/" + encodeURIComponent(name) }, name));
  $("systems").replaceChildren(...links);
  $("systems").hidden = false;
}

function show(api, model) {
  document.title = "Try " + model.name;
  state.classes = model.parameters.classes;
  state.threshold = model.parameters.threshold;
  $("system").textContent = model.name;
  const facts = [["model", (model.versions || [])[0]], ["release", model.parameters.release], ["task", model.parameters.task.replaceAll("_", " ")]];
  $("facts").replaceChildren(...facts.filter(([, value]) => value).map(([name, value]) => make("span", {}, name + " ", make("b", {}, value))));
  state.columns = api.components.schemas.Row.properties || {};
  state.required = new Set(api.components.schemas.Row.required);
  if (!Object.keys(state.columns).length) {
    trouble({ error: "This model does not take rows of columns.", hint: "openapi.json tells how to ask it." });
    return;
  }
  $("fields").replaceChildren(...Object.entries(state.columns).map(([name, schema], place) => field(name, schema, place)));
  const files = Object.values(state.columns).some((schema) => schema.anyOf || !schema.type);
  $("example").hidden = $("explain").parentElement.hidden = files;
  $("row").hidden = $("call").hidden = false;
  tellCurl();
}

function kind(schema) {
  if (schema.anyOf) return schema.anyOf[0].contentMediaType.split("/")[0];
  if (!schema.type) return "tensor";
  if (schema.type.includes("number") && !schema.type.includes("string")) return "number";
  if (schema.type.includes("boolean")) return "boolean";
  return schema.format === "date-time" ? "time" : "category";
}

function field(name, schema, place) {
  const id = "column-" + place;
  const known = schema.examples || [];
  const what = kind(schema);
  const parts = [];
  if (what === "image" || what === "audio") {
    const shown = make("div", { class: "shown" });
    const input = make("input", { id, type: "file", accept: what + "/*" });
    input.addEventListener("change", () => preview(what, input.files[0], shown));
    parts.push(input, shown);
  } else if (what === "boolean") {
    parts.push(make("select", { id }, ...[["", "not known"], ["true", "true"], ["false", "false"]].map(([v, t]) => make("option", { value: v }, t))));
  } else if (what === "category" && known.length) {
    const other = make("input", { type: "text", "aria-label": name + ", another value", placeholder: "another value", hidden: true });
    const select = make("select", { id }, make("option", { value: "" }, "not known"), ...known.map((v) => make("option", { value: "=" + v }, v || "(empty)")), make("option", { value: "?" }, "another value…"));
    select.addEventListener("change", () => { other.hidden = select.value !== "?"; if (!other.hidden) other.focus(); });
    parts.push(select, other);
  } else {
    parts.push(make("input", { id, type: { number: "text", time: "datetime-local", category: "text" }[what], inputmode: what === "number" ? "decimal" : null, step: what === "time" ? "1" : null, autocomplete: "off" }));
  }
  const label = make("label", { for: id }, make("span", {}, name), make("i", {}, state.required.has(name) ? what : what + ", or looked up"));
  return make("div", { class: "field", "data-column": name }, label, ...parts, make("small", { role: "alert" }));
}

function preview(what, file, shown) {
  if (shown.dataset.url) URL.revokeObjectURL(shown.dataset.url);
  shown.replaceChildren();
  if (!file) return;
  shown.dataset.url = URL.createObjectURL(file);
  shown.append(what === "image" ? make("img", { src: shown.dataset.url, alt: "the picture that is sent" }) : make("audio", { src: shown.dataset.url, controls: true }));
}

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.split(",")[1] || "");
    reader.onerror = () => reject({ error: "The file cannot be read." });
    reader.readAsDataURL(file);
  });
}

// The file, where the whole row is one; a file stands by itself as a body.
function onlyFile() {
  const boxes = $("fields").children;
  const what = kind(Object.values(state.columns)[0]);
  return boxes.length === 1 && (what === "image" || what === "audio") ? boxes[0].querySelector("input").files[0] || null : undefined;
}

function value(box, schema) {
  const [first, second] = box.querySelectorAll("select, input");
  const text = first.value;
  switch (kind(schema)) {
    case "image":
    case "audio": return first.files[0] || null;
    case "tensor": {
      try { return JSON.parse(text); } catch { return text; }
    }
    case "number": {
      const number = text.trim() === "" ? null : Number(text.trim().replace(",", "."));
      return Number.isNaN(number) ? text : number;
    }
    case "boolean": return text === "" ? null : text === "true";
    case "time": return text === "" ? null : new Date(text).toISOString().replace("Z", "+00:00");
    default:
      if (first.tagName === "INPUT") return text === "" ? null : text;
      return text === "" ? null : text === "?" ? second.value : text.slice(1);
  }
}

function row() {
  const found = {};
  for (const box of $("fields").children) {
    const name = box.dataset.column;
    const cell = value(box, state.columns[name]);
    if (cell !== null || state.required.has(name)) found[name] = cell; // the others are looked up
  }
  return found;
}

function tellCurl() {
  const quoted = (text) => "'" + text.replaceAll("'", "'\\''") + "'";
  const token = state.token ? ' \\\n  -H "authorization: Bearer $TRIMTAB_TOKEN"' : "";
  const address = new URL(own("predict"), location) + ($("explain").checked ? "?explain=true" : "");
  const file = onlyFile();
  const [type, data] = file === undefined
    ? ["application/json", "-d " + quoted(JSON.stringify({ rows: [row()] }, (_, cell) => (cell instanceof Blob ? "…" : cell)))]
    : [(file && file.type) || "application/octet-stream", "--data-binary " + quoted("@" + ((file && file.name) || "FILE"))];
  $("curl").textContent = `curl -s ${quoted(address)} \\\n  -H 'content-type: ${type}'${token} \\\n  ${data}`;
}

function clear() {
  trouble(null);
  for (const box of $("fields").children) {
    box.classList.remove("wrong");
    box.querySelector("small").textContent = "";
  }
}

async function ask(event) {
  event.preventDefault();
  clear();
  $("ask").disabled = true;
  try {
    const { told, took } = await call("POST", own("predict"), await question());
    state.prediction = told.predictions[0];
    result(state.prediction, took);
  } catch (error) {
    trouble(error);
    for (const one of error.errors || []) {
      const box = [...$("fields").children].find((each) => each.dataset.column === one.column);
      if (!box) continue;
      box.classList.add("wrong");
      box.querySelector("small").textContent = one.error;
    }
  } finally {
    $("ask").disabled = false;
  }
}

async function question() {
  const file = onlyFile();
  if (file === null) throw { error: "Choose a file first." };
  if (file) return file;
  const asked = row();
  for (const [name, cell] of Object.entries(asked)) if (cell instanceof Blob) asked[name] = await base64(cell);
  return $("explain").checked ? { rows: [asked], explain: true } : { rows: [asked] };
}

const short = (number) => (Number.isInteger(number) ? String(number) : Number(number.toPrecision(5)).toString());
const percent = (share) => (100 * share).toFixed(1) + " %";

function bar(name, share, text, from = 0, extra = "", minus = false) {
  const inner = make("i", { class: minus ? "minus" : null });
  inner.style.left = 100 * from + "%";
  inner.style.width = Math.max(0.5, 100 * share) + "%";
  return make("div", { class: "bar " + extra }, make("span", { title: name }, name), make("div", { class: "track" }, inner), make("b", {}, text));
}

function classes() {
  const told = state.schema.components.schemas.Prediction.properties.label;
  return (told && told.enum) || state.classes;
}

// Boxes that a model found, over the picture that was sent; x1, y1, x2, y2 in its pixels.
function boxes(found) {
  const picture = document.querySelector(".shown img");
  if (!picture || !Array.isArray(found.boxes)) return;
  const layer = make("div", { class: "found" });
  found.boxes.slice(0, found.count === undefined ? undefined : found.count).forEach(([x1, y1, x2, y2], place) => {
    const name = [found.labels && found.labels[place], found.scores && percent(found.scores[place])].filter((part) => part !== undefined);
    const box = make("i", {}, make("b", {}, name.join(" ")));
    const [width, height] = [picture.naturalWidth, picture.naturalHeight];
    box.style.left = (100 * x1) / width + "%";
    box.style.top = (100 * y1) / height + "%";
    box.style.width = (100 * (x2 - x1)) / width + "%";
    box.style.height = (100 * (y2 - y1)) / height + "%";
    layer.append(box);
  });
  picture.parentElement.querySelector(".found")?.remove();
  picture.parentElement.append(layer);
}

function outputs(found) {
  boxes(found);
  return Object.entries(found).flatMap(([name, told]) => [make("h3", {}, name), make("pre", { tabindex: "0" }, typeof told === "string" ? told : JSON.stringify(told))]);
}

function result(one, took) {
  const parts = [];
  if (one.score === undefined || Array.isArray(one.label)) {
    if (one.label !== undefined) parts.push(make("p", { class: "big" }, String([].concat(one.label)[0])));
    const scores = Array.isArray(one.label) ? [].concat(one.score) : [];
    parts.push(make("div", { class: "bars" }, ...scores.map((score, place) => bar(String(one.label[place]), score, percent(score), 0, place ? "" : "best"))));
  } else if (Array.isArray(one.score)) {
    parts.push(make("p", { class: "big" }, String(one.label)), make("p", { class: "quiet" }, "the most likely of " + one.score.length + " classes"));
    const order = one.score.map((score, place) => [score, classes()[place]]).sort((a, b) => b[0] - a[0]);
    parts.push(make("div", { class: "bars" }, ...order.slice(0, SHOWN).map(([score, name], place) => bar(String(name), score, percent(score), 0, place ? "" : "best"))));
  } else if (one.label === undefined) {
    parts.push(make("p", { class: "big" }, short(one.score)), make("p", { class: "quiet" }, "predicted"));
  } else {
    const names = classes();
    parts.push(make("p", { class: "big" }, String(one.label)), make("p", { class: "quiet" }, `${names[1]} from a probability of ${percent(state.threshold)} on`));
    const shares = [[1 - one.score, names[0]], [one.score, names[1]]];
    parts.push(make("div", { class: "bars" }, ...shares.reverse().map(([share, name]) => bar(String(name), share, percent(share), 0, name === one.label ? "best" : ""))));
  }
  $("result").replaceChildren(...parts, ...outputs(one.outputs || {}));
  $("why").replaceChildren(...reasons(one));
  const meta = [["release", one.release], ["model", one.model], ["id", one.id], ["took", took.toFixed(1) + " ms, with the network"]];
  $("meta").replaceChildren(...meta.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
  $("answer").hidden = $("feedback").hidden = false;
  truths();
  $("answer").scrollIntoView({ block: "nearest" });
}

function reasons(one) {
  if (!("explanation" in one)) return [];
  if (!one.explanation) return [make("p", { class: "quiet" }, "There was no time to tell the reasons.")];
  const told = one.explanation;
  const those = one.label !== undefined && typeof told.base_value === "object" ? told.contributions[one.label] : told.contributions;
  const order = Object.entries(those).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  const most = Math.max(...order.map(([, size]) => Math.abs(size)), 1e-12);
  const bars = order.slice(0, SHOWN).map(([name, size]) => {
    const half = Math.abs(size) / most / 2;
    return bar(name, half, (size > 0 ? "+" : "") + short(size), size < 0 ? 0.5 - half : 0.5, "", size < 0);
  });
  const unit = String(told.unit).replaceAll("_", " ");
  return [make("h3", {}, "What each feature contributed (" + unit + ")"), make("div", { class: "bars" }, ...bars)];
}

function truths() {
  $("kept").textContent = "";
  const names = classes();
  if (names.length && names.length <= 12) {
    $("truths").replaceChildren(...names.map((name) => {
      const button = make("button", { type: "button", "aria-pressed": "false" }, String(name));
      button.addEventListener("click", () => tell(name, button));
      return button;
    }));
    return;
  }
  const input = names.length
    ? make("select", { "aria-label": "the truth" }, ...names.map((name, place) => make("option", { value: place }, String(name))))
    : make("input", { type: "text", inputmode: "decimal", "aria-label": "the truth", placeholder: "the true value" });
  const button = make("button", { type: "button" }, "Send");
  button.addEventListener("click", () => tell(names.length ? names[input.value] : Number(input.value.replace(",", ".")), button));
  $("truths").replaceChildren(input, button);
}

async function tell(truth, button) {
  try {
    await call("POST", own("feedback"), { id: state.prediction.id, truth });
    for (const other of $("truths").querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === button));
    $("kept").textContent = "Kept. Another answer takes the place of this one.";
  } catch (error) {
    $("kept").textContent = error.error || String(error);
  }
}

function fill() {
  clear();
  for (const box of $("fields").children) {
    const schema = state.columns[box.dataset.column];
    const [first, second] = box.querySelectorAll("select, input");
    const known = schema.examples || [];
    const what = kind(schema);
    if (what === "number") first.value = String(Math.round(Math.random() * 100));
    else if (what === "boolean") first.value = Math.random() < 0.5 ? "true" : "false";
    else if (what === "time") first.value = new Date(Date.now() - new Date().getTimezoneOffset() * 60000).toISOString().slice(0, 19);
    else if (first.tagName === "SELECT") { first.value = "=" + known[Math.floor(Math.random() * known.length)]; second.hidden = true; }
    else if (first.type !== "file") first.value = "example";
  }
  tellCurl();
}

$("login").addEventListener("submit", (event) => { event.preventDefault(); state.token = $("token").value.trim(); load(); });
$("row").addEventListener("submit", ask);
$("row").addEventListener("input", tellCurl);
$("row").addEventListener("change", tellCurl);
$("example").addEventListener("click", fill);
$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("curl").textContent);
    $("copy").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren($("curl"));
    $("copy").textContent = "Selected";
  }
  setTimeout(() => { $("copy").textContent = "Copy"; }, 1500);
});
$("document").href = own("openapi.json");
load();
