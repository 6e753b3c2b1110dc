// Calls of the server: its own facts, and the REST of TensorFlow Serving.

// TensorFlow Serving writes NaN and Infinity, which are no JSON.
const NO_JSON = /"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g;

async function read(response) {
  const text = (await response.text()).replace(NO_JSON, (m) => (m[0] === '"' ? m : "null"));
  let content;
  try {
    content = JSON.parse(text);
  } catch {
    throw new Error(`The server answered ${response.status} and no JSON.`);
  }
  if (!response.ok) throw new Error(content.error ?? `The server answered ${response.status}.`);
  return content;
}

async function ask(url, options) {
  try {
    return await read(await fetch(url, options));
  } catch (error) {
    if (error instanceof TypeError) {
      throw new Error("The server does not answer. Is it still running?");
    }
    throw error;
  }
}

export function fact(what, values = {}, signal = undefined) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const one of [value].flat()) query.append(name, one);
  }
  return ask(`/explore/${what}?${query}`, { signal });
}

const path = (about) => `/v1/models/${encodeURIComponent(about.name)}:predict`;

// Asks for one row. Returns the answer of the row, the time in ms and the call.
export async function predict(about, signature, row, signal) {
  const body = { signature_name: signature, instances: [row] };
  const start = performance.now();
  const answer = await ask(path(about), { method: "POST", body: json(body), signal });
  const time = performance.now() - start;
  return { row: answer.predictions[0], time, call: curl(about, body), signature };
}

// JSON with NaN, which stands for a number that is not sent.
const json = (value) =>
  JSON.stringify(value, (_, one) => (Number.isNaN(one) ? "\u0000NaN" : one)).replaceAll(
    '"\\u0000NaN"',
    "NaN",
  );

function curl(about, body) {
  const row = Object.entries(body.instances[0]).map(
    ([name, value]) => `    ${JSON.stringify(name)}: ${json(value)}`,
  );
  const text =
    `{\n  "signature_name": ${JSON.stringify(body.signature_name)},\n` +
    `  "instances": [{\n${row.join(",\n")}\n  }]\n}`;
  const url = `${location.origin}${path(about)}`;
  return `curl -X POST '${url}' -d '${text.replaceAll("'", "'\\''")}'`;
}

// The signature that takes what a request needs, and the row that it is asked with.
export function request(about, wanted) {
  const needs = [];
  if (wanted.exclusions.length) needs.push("exclusions");
  for (const [name, values] of Object.entries(wanted.filters)) {
    if (values.length) needs.push(`filter_${name}`);
  }
  if (wanted.history.length || wanted.isEdited || wanted.time) needs.push("history", "time");
  const names = ["serving_default", "filtered", "history"].filter((n) => n in about.signatures);
  const missing = (name) => needs.filter((need) => !(need in about.signatures[name].inputs));
  const best = names.find((name) => missing(name).length === 0);
  const name = best ?? names[names.length - 1];
  return { name, row: row(about.signatures[name].inputs, wanted), missing: missing(name) };
}

export function row(specs, wanted) {
  const { history } = wanted;
  const values = {
    user_id: wanted.user ?? "",
    k: wanted.k,
    exclude_seen: wanted.excludeSeen,
    exclusions: padded(wanted.exclusions, ""),
    item_id: padded(wanted.items ?? [], ""),
    history: padded(history.map((item) => item.item_id), ""),
    history_time: padded(history.map((item) => item.time ?? 0), 0),
    time: wanted.time ?? 0,
    append: wanted.user !== null && !wanted.isEdited,
  };
  const result = {};
  for (const [name, spec] of Object.entries(specs)) {
    if (name.startsWith("filter_")) {
      const chosen = wanted.filters[name.slice("filter_".length)] ?? [];
      const isText = spec.dtype === "string";
      result[name] = padded(isText ? chosen : chosen.map(Number), isText ? "" : -1);
    } else if (name in values) {
      result[name] = values[name];
    } else {
      result[name] = blank(spec);
    }
  }
  return result;
}

// What stands for nothing in an input that the page does not offer.
function blank(spec) {
  const value = { string: "", bool: false }[spec.dtype] ?? (spec.dtype.startsWith("float") ? NaN : -1);
  const sizes = spec.shape.slice(1).map((size) => size ?? 1);
  return sizes.reduceRight((values, size) => Array(size).fill(values), value);
}

// A list of a request is padded: "" and -1 stand for nothing.
const padded = (values, blank) => (values.length ? values : [blank]);
