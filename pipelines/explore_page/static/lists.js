// Lists of items and calls. All text is set as text: a title is never HTML.

export function element(tag, options = {}, ...children) {
  const { className, text, ...attributes } = options;
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

export function button(text, label, action, className = "") {
  const made = element("button", { type: "button", text, className, "aria-label": label });
  made.addEventListener("click", action);
  return made;
}

export const percent = (share, digits = 0) =>
  share.toLocaleString("en", { style: "percent", maximumFractionDigits: digits });

export const number = (value) => value.toLocaleString("en");

export function summary(item) {
  return Object.values(item.attributes ?? {})
    .map((values) => values.join(", "))
    .filter(Boolean)
    .join(" · ");
}

// Items of an answer: position, item and score, without positions that have no item.
export function items(row) {
  return row.item_id
    .map((id, n) => ({
      item_id: id,
      title: row.title[n] || id,
      score: row.score[n],
      trend: row.trend_score?.[n],
      why: (row.why_item_id?.[n] ?? [])
        .map((cause, m) => ({ item_id: cause, share: row.why_share[n][m] }))
        .filter((cause) => cause.item_id),
    }))
    .filter((item) => item.item_id && item.score !== null);
}

export function score(value) {
  const size = Math.abs(value);
  return size && size < 0.001 ? value.toExponential(1) : value.toFixed(size < 100 ? 3 : 0);
}

// The length of a bar: of positive scores from zero, of others from the lowest one.
export function scale(found) {
  const values = found.map((item) => item.score);
  const low = Math.min(0, ...values);
  const high = Math.max(...values, low + 1e-9);
  return (value) => Math.max(0.02, (value - low) / (high - low));
}

function bar(item, length) {
  const whole = element("span", { className: "bar", "aria-hidden": "true" });
  const trend = item.trend > 0 && item.score > 0 ? Math.min(1, item.trend / item.score) : 0;
  for (const [share, className] of [
    [1 - trend, "own"],
    [trend, "trend"],
  ]) {
    const part = element("span", { className });
    part.style.width = `${100 * length * share}%`;
    whole.append(part);
  }
  return whole;
}

function trendText(item) {
  if (item.trend === undefined || item.trend === null) return null;
  const isShare = item.trend >= 0 && item.score > 0 && item.trend <= item.score;
  const text = isShare
    ? `${percent(item.trend / item.score)} by trend`
    : `${item.trend < 0 ? "−" : "+"}${score(Math.abs(item.trend))} by trend`;
  return element("div", { className: "trend-text", text });
}

export function entry(item, position, { length, actions = [], mark = null, titles }) {
  const why = element("div", { className: "why" });
  if (item.why.length) {
    why.append("Because of ");
    for (const cause of item.why) {
      const name = titles.get(cause.item_id)?.title ?? cause.item_id;
      why.append(
        element(
          "span",
          { className: "cause" },
          name,
          element("span", { className: "share", text: ` ${percent(cause.share)}` }),
        ),
      );
    }
  }
  return element(
    "li",
    { "data-item": item.item_id },
    element("span", { className: "rank", text: position + 1 }),
    element(
      "div",
      {},
      element("div", { className: "title", text: item.title }),
      element("div", { className: "about", text: summary(titles.get(item.item_id) ?? {}) }),
    ),
    element(
      "div",
      { className: "score" },
      element("span", { text: score(item.score) }),
      bar(item, length),
      trendText(item),
      mark && element("div", { className: `mark ${mark.kind}`, text: mark.text }),
    ),
    item.why.length ? why : null,
    actions.length ? element("div", { className: "actions" }, ...actions) : null,
  );
}

export function nothing(text) {
  return element("li", { className: "none", text });
}

// The calls under an answer; those that are open stay open.
export function showCalls(target, calls) {
  const open = [...target.querySelectorAll("details")].map((details) => details.open);
  target.replaceChildren(
    ...calls.map((call, n) => {
      const pre = element("pre", { tabindex: "0", "aria-label": "curl command" });
      pre.textContent = call.call;
      const copy = button("Copy", "Copy the call", async () => {
        try {
          await navigator.clipboard.writeText(call.call);
          copy.textContent = "Copied";
        } catch {
          copy.textContent = "Select and copy by hand";
        }
        setTimeout(() => (copy.textContent = "Copy"), 1500);
      });
      const details = element(
        "details",
        {},
        element("summary", { text: `The call: ${call.what} (${Math.round(call.time)} ms)` }),
        pre,
        copy,
      );
      details.open = open[n] ?? false;
      return details;
    }),
  );
}

// How two lists differ, as a mark for each item of the second and a sentence.
export function compare(first, second) {
  const before = new Map(first.map((item, n) => [item.item_id, n]));
  const marks = second.map((item, n) => {
    if (!before.has(item.item_id)) return { kind: "new", text: "not in the first" };
    const step = before.get(item.item_id) - n;
    if (step === 0) return { kind: "same", text: "same" };
    return step > 0
      ? { kind: "up", text: `↑ ${step}` }
      : { kind: "down", text: `↓ ${-step}` };
  });
  const ids = new Set(second.map((item) => item.item_id));
  const both = first.filter((item) => ids.has(item.item_id)).length;
  const moved = marks.filter((mark) => mark.kind === "up" || mark.kind === "down").length;
  return { marks, both, moved };
}
