// The page: what the visitor chose, the requests that follow, and what is shown.

import { combobox } from "/static/combobox.js";
import * as lists from "/static/lists.js";
import { ItemMap } from "/static/map.js";
import { drawCoverage } from "/static/popularity.js";
import * as rest from "/static/rest.js";

const $ = (id) => document.getElementById(id);
const FEW = 8; // items of a history that are shown at first
const DAY = 86_400;

let exports = [];
let main; // facts of the export that is explored
let map;
let coverage;
let shownRanks = [];
let turn = null; // the request that is under way
const titles = new Map(); // item id -> what is known of the item

const wanted = {};
function startAgain() {
  Object.assign(wanted, {
    user: null,
    past: [],
    session: [],
    isEdited: false,
    exclusions: [],
    filters: {},
    time: null,
    k: Math.min(10, main.num_items),
    excludeSeen: main.exclude_seen,
    showsAll: false,
  });
}

function remember(found) {
  for (const item of found) titles.set(item.item_id, item);
  return found;
}

async function know(ids) {
  const unknown = [...new Set(ids)].filter((id) => id && !titles.has(id)).slice(0, 200);
  if (!unknown.length) return;
  for (const id of unknown) titles.set(id, { item_id: id, title: id, attributes: {} });
  remember(await rest.fact("items", { id: unknown }));
}

function say(error) {
  if (error?.name === "AbortError") return;
  $("problem").textContent = error.message;
  $("problem").hidden = false;
}

// ---------------------------------------------------------------- what was chosen

async function chooseUser(user) {
  try {
    const found = await rest.fact("user", { text: user });
    remember(found.past);
    Object.assign(wanted, { user, past: found.past, session: [], isEdited: false, showsAll: false });
    change();
  } catch (error) {
    say(error);
  }
}

function addItem(item) {
  titles.set(item.item_id, { attributes: {}, ...titles.get(item.item_id), ...item });
  wanted.session.push({ item_id: item.item_id, title: item.title });
  change();
}

function removeItem(list, position) {
  if (list === wanted.past) wanted.isEdited = true;
  list.splice(position, 1);
  change();
}

function exclude(item) {
  if (!wanted.exclusions.includes(item.item_id)) wanted.exclusions.push(item.item_id);
  change();
}

const history = () =>
  wanted.user === null || wanted.isEdited ? [...wanted.past, ...wanted.session] : wanted.session;

// ---------------------------------------------------------------- what is shown

function change() {
  showWho();
  showHistory();
  showChips();
  answer();
}

function showWho() {
  const who = $("who");
  who.replaceChildren();
  if (wanted.user === null) return;
  who.append(
    "User ",
    lists.element("strong", { text: wanted.user }),
    " ",
    lists.button("Clear", `Clear user ${wanted.user}`, () => {
      Object.assign(wanted, { user: null, past: [], isEdited: false });
      change();
      $("user").focus();
    }, "quiet"),
  );
}

function showHistory() {
  const all = [
    ...wanted.past.map((item, n) => ({ item, list: wanted.past, n })),
    ...wanted.session.map((item, n) => ({ item, list: wanted.session, n })),
  ].reverse();
  const shown = wanted.showsAll ? all : all.slice(0, FEW);
  $("history").replaceChildren(
    ...shown.map(({ item, list, n }) =>
      lists.element(
        "li",
        {},
        lists.element("span", { className: "title", text: item.title }),
        list === wanted.session ? lists.element("span", { className: "new", text: "new" }) : null,
        lists.button("×", `Remove ${item.title} from the history`, () => {
          removeItem(list, n);
          ($("history").querySelector("button") ?? $("item")).focus();
        }),
      ),
    ),
  );
  $("more").hidden = all.length <= FEW;
  $("more").textContent = wanted.showsAll ? `Show the newest ${FEW}` : `Show all ${all.length}`;
  let note = "";
  if (!("history" in main.signatures)) {
    note = "This export has no signature “history”: what you add here does not change its answers.";
  } else if (!all.length) {
    note = "Empty. Add items, and the recommendations follow each click.";
  } else if (wanted.isEdited) {
    note = "You changed the known past: the list below is sent as the whole history.";
  }
  $("history-note").textContent = note;
}

function chip(text, label, action) {
  return lists.element("li", {}, lists.button(text, label, action));
}

function showChips() {
  $("excluded").hidden = !wanted.exclusions.length;
  $("exclusions").replaceChildren(
    ...wanted.exclusions.map((id, n) => {
      const title = titles.get(id)?.title ?? id;
      return chip(title, `Allow ${title} again`, () => {
        wanted.exclusions.splice(n, 1);
        change();
      });
    }),
  );
  for (const [name, values] of Object.entries(wanted.filters)) {
    $(`chips-${name}`).replaceChildren(
      ...values.map((value, n) =>
        chip(value, `Remove the filter ${name} ${value}`, () => {
          values.splice(n, 1);
          change();
        }),
      ),
    );
  }
}

function showFilters() {
  const inputs = new Set(Object.values(main.signatures).flatMap((s) => Object.keys(s.inputs)));
  const names = [...inputs].filter((n) => n.startsWith("filter_")).map((n) => n.slice(7)).sort();
  $("filters").replaceChildren(
    ...names.map((name) => {
      wanted.filters[name] = [];
      const id = `filter-${name}`;
      const known = main.attributes[name];
      const take = (value) => {
        if (value && !wanted.filters[name].includes(value)) wanted.filters[name].push(value);
        change();
      };
      let control;
      if (known) {
        control = lists.element("select", { id }, lists.element("option", { value: "", text: "any" }));
        for (const value of [...known].sort((a, b) => a.localeCompare(b, "en", { numeric: true }))) {
          control.append(lists.element("option", { value, text: value }));
        }
      } else {
        control = lists.element("input", { id, type: "text", placeholder: "a value, then Enter" });
      }
      control.addEventListener("change", () => {
        take(control.value.trim());
        control.value = "";
      });
      return lists.element(
        "div",
        { className: "field" },
        lists.element("label", { for: id, text: `Only ${name.replaceAll("_", " ")}` }),
        control,
        lists.element("ul", { id: `chips-${name}`, className: "chips", "aria-label": `Filters by ${name}` }),
      );
    }),
  );
}

function heading(row) {
  const isPersonal = row.personal ?? row.known_user;
  if (wanted.user !== null) {
    if (!row.known_user && !isPersonal) return `Popular now, for user ${wanted.user}, who is unknown`;
    return `Recommendations for user ${wanted.user}`;
  }
  return isPersonal ? "Recommendations for this history" : "Popular now, for a visitor";
}

function actions(item) {
  const made = [
    lists.button("Add to history", `Add ${item.title} to the history`, () => addItem(item)),
    lists.button("Exclude", `Exclude ${item.title}`, () => exclude(item)),
  ];
  if ("similar_items" in main.signatures) {
    made.splice(1, 0, lists.button("Similar", `Items similar to ${item.title}`, () => similar(item)));
  }
  return made;
}

function show(target, found, options = {}) {
  const length = lists.scale(found);
  target.replaceChildren(
    ...(found.length
      ? found.map((item, n) =>
          lists.entry(item, n, {
            length: length(item.score),
            titles,
            actions: options.acts ? actions(item) : [],
            mark: options.marks?.[n] ?? null,
          }),
        )
      : [lists.nothing("No item is left: take a filter or an exclusion away.")]),
  );
}

// Shows lists anew without losing the place of the keyboard.
function keepFocus(update) {
  const label = document.activeElement?.closest("main")
    ? document.activeElement.getAttribute("aria-label")
    : null;
  update();
  if (label && !document.activeElement?.getAttribute("aria-label")) {
    const same = [...document.querySelectorAll("main button")].find(
      (one) => one.getAttribute("aria-label") === label,
    );
    (same ?? $("answers")).focus({ preventScroll: true });
  }
}

async function answer() {
  turn?.abort();
  turn = new AbortController();
  const mine = turn;
  const asked = { ...wanted, history: history() };
  $("answers").setAttribute("aria-busy", "true");
  try {
    const requests = exports.map((about) => rest.request(about, asked));
    const answers = await Promise.all(
      requests.map(({ name, row }, n) => rest.predict(exports[n], name, row, mine.signal)),
    );
    const found = answers.map((one) => lists.items(one.row));
    await know(found.flat().map((item) => item.item_id));
    if (mine !== turn) return;
    $("problem").hidden = true;
    let calls;
    keepFocus(() => {
      calls = showAnswers(answers, found, requests);
    });
    light(found[0]);
    await explain(asked, answers[0].row, calls, mine);
  } catch (error) {
    if (mine === turn) say(error);
  } finally {
    if (mine === turn) $("answers").setAttribute("aria-busy", "false");
  }
}

function showAnswers(answers, found, requests) {
  const [first] = answers;
  $("answers-title").textContent = heading(first.row);
  const skipped = first.row.num_unknown ?? 0;
  const parts = [`${found[0].length} items in ${Math.round(first.time)} ms`];
  if (skipped) parts.push(`${skipped} unknown ids were skipped`);
  if (requests[0].missing.length) {
    parts.push(`this export ignores ${requests[0].missing.join(", ")}`);
  }
  $("status").textContent = parts.join(" · ");
  show($("recommendations"), found[0], { acts: true });
  const calls = answers.map((one, n) => ({
    ...one,
    what: exports.length > 1 ? `${exports[n].name}, ${one.signature}` : one.signature,
  }));
  if (found.length > 1) {
    const { marks, both, moved } = lists.compare(found[0], found[1]);
    show($("others"), found[1], { marks });
    $("compared").hidden = false;
    const isSame = both === found[0].length && both === found[1].length && !moved;
    $("compared").textContent = isSame
      ? "Both lists are the same."
      : `${both} of ${found[0].length} items are in both lists; ${moved} of them have another ` +
      `position; ${found[1].length - both} are in the second list alone.`;
  }
  lists.showCalls($("calls"), calls);
  return calls;
}

async function explain(asked, answered, calls, mine) {
  const isPersonal = answered.personal ?? answered.known_user;
  if (!("explain" in main.signatures) || !isPersonal) return;
  const row = rest.row(main.signatures.explain.inputs, asked);
  const reply = await rest.predict(main, "explain", row, mine.signal);
  const explained = lists.items(reply.row);
  await know(explained.flatMap((item) => item.why.map((cause) => cause.item_id)));
  if (mine !== turn) return;
  keepFocus(() => show($("recommendations"), explained, { acts: true }));
  lists.showCalls($("calls"), [...calls, { ...reply, what: "explain, for the reasons" }]);
}

function light(found) {
  const past = [...wanted.past, ...wanted.session].map((item) => item.item_id);
  map?.light(past, found.map((item) => item.item_id));
  shownRanks = found.map((item) => titles.get(item.item_id)?.rank).filter(Boolean);
  drawCoverage($("popularity"), coverage, shownRanks);
}

async function similar(item) {
  const row = rest.row(main.signatures.similar_items.inputs, {
    ...wanted,
    history: [],
    items: [item.item_id],
  });
  try {
    const reply = await rest.predict(main, "similar_items", row);
    const found = lists.items(reply.row);
    await know(found.map((one) => one.item_id));
    $("similar").hidden = false;
    $("similar-title").textContent = `Similar to ${item.title}`;
    show($("similar-items"), found, { acts: true });
    lists.showCalls($("similar-calls"), [{ ...reply, what: "similar_items" }]);
    $("similar").focus({ preventScroll: true });
    const { top, bottom } = $("similar").getBoundingClientRect();
    if (top < 0 || bottom > innerHeight) $("similar").scrollIntoView({ block: "start" });
  } catch (error) {
    say(error);
  }
}

// ---------------------------------------------------------------- start

function showDate() {
  const date = new Date(1000 * Number($("time").value));
  const isDated = $("dated").checked;
  $("date").textContent = isDated
    ? date.toLocaleDateString("en", { year: "numeric", month: "long", day: "numeric", timeZone: "UTC" })
    : "now: after all rows of the data";
  $("time").disabled = !isDated;
  wanted.time = isDated ? Number($("time").value) : null;
}

function listen() {
  combobox($("user"), {
    search: async (text) => {
      const found = await rest.fact("users", { text });
      const typed = text.trim();
      return typed && !found.includes(typed) ? [...found, typed] : found;
    },
    choose: chooseUser,
    describe: (user) => ({ label: user }),
  });
  combobox($("item"), {
    search: async (text) => remember(await rest.fact("search", { text })),
    choose: addItem,
    describe: (item) => ({ label: item.title, detail: lists.summary(item) }),
  });
  $("more").addEventListener("click", () => {
    wanted.showsAll = !wanted.showsAll;
    showHistory();
  });
  $("k").addEventListener("change", () => {
    const most = Math.min(100, main.num_items);
    const value = Math.min(most, Math.max(1, Math.round(Number($("k").value)) || 1));
    $("k").value = value;
    wanted.k = value;
    change();
  });
  $("seen").addEventListener("change", () => {
    wanted.excludeSeen = $("seen").checked;
    change();
  });
  let timer;
  for (const id of ["dated", "time"]) {
    $(id).addEventListener("input", () => {
      showDate();
      clearTimeout(timer);
      timer = setTimeout(change, 60);
    });
  }
  $("close-similar").addEventListener("click", () => {
    $("similar").hidden = true;
    $("answers").focus({ preventScroll: true });
  });
  $("reset").addEventListener("click", () => {
    begin();
    change();
  });
  $("zoom-in").addEventListener("click", () => map.zoom(1.5));
  $("zoom-out").addEventListener("click", () => map.zoom(1 / 1.5));
  $("zoom-all").addEventListener("click", () => map.all());
  $("colour").addEventListener("change", () => map.colour($("colour").value));
  addEventListener("resize", () => drawCoverage($("popularity"), coverage, shownRanks));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
    drawCoverage($("popularity"), coverage, shownRanks),
  );
}

// Brings all controls to their first state.
function begin() {
  startAgain();
  showFilters();
  $("k").value = wanted.k;
  $("k").max = Math.min(100, main.num_items);
  $("seen").checked = wanted.excludeSeen;
  $("dated").checked = false;
  $("similar").hidden = true;
  const canDate = main.times && "time" in (main.signatures.history?.inputs ?? {});
  $("when").hidden = !canDate;
  if (canDate) {
    const [oldest, newest] = main.times;
    Object.assign($("time"), { min: oldest, max: newest + 365 * DAY, step: DAY, value: newest });
    showDate();
  }
}

function introduce() {
  const size = `${lists.number(main.num_items)} items · ${lists.number(main.num_users)} users`;
  $("name").textContent = `${main.name}, version ${main.version}`;
  document.title = `${main.name} – explore a recommender`;
  const facts = [size, main.path];
  if (!main.has_titles) facts.push("without titles: ids are shown");
  if (exports.length > 1) facts.push(`compared with ${exports[1].name}, version ${exports[1].version}`);
  $("facts").textContent = facts.filter(Boolean).join(" · ");
  $("user").placeholder = main.num_users ? `Search ${lists.number(main.num_users)} users` : "Type an id";
  $("item").placeholder = main.has_titles ? "Search by title" : "Search by id";
  if (exports.length > 1) {
    document.querySelector(".lists").classList.add("two");
    $("second").hidden = $("first-name").hidden = false;
    $("first-name").textContent = `${main.name}, version ${main.version}`;
    $("second-name").textContent = `${exports[1].name}, version ${exports[1].version}`;
  }
}

async function showPictures() {
  if (main.has_map) {
    $("map-card").hidden = false;
    const picture = await rest.fact("map");
    remember(picture.items);
    for (const name of [...Object.keys(main.attributes), "popularity"]) {
      $("colour").append(lists.element("option", { value: name, text: name }));
    }
    map.set(picture);
    map.colour($("colour").value);
    const shown = picture.items.length;
    const which = shown < picture.num_items ? `the ${lists.number(shown)} most popular of ` : "";
    const method = main.projection === "umap" ? "UMAP" : "the two main axes (PCA)";
    $("map-note").textContent =
      `${which}${lists.number(picture.num_items)} items by ${method} of their embeddings. ` +
      "Click a point to add it; wheel or + and − zoom.";
  }
  if (main.has_popularity && main.num_users) {
    $("popularity-card").hidden = false;
    coverage = await rest.fact("coverage");
    const share = coverage.num_reached / coverage.num_items;
    $("coverage").textContent =
      `The best ${coverage.k} items of ${lists.number(coverage.num_users)} users reach ` +
      `${lists.number(coverage.num_reached)} of ${lists.number(coverage.num_items)} items ` +
      `(${lists.percent(share, 1)}).`;
  }
}

async function start() {
  ({ exports } = await rest.fact("about"));
  [main] = exports;
  map = new ItemMap($("map"), { tip: $("tip"), legend: $("legend"), choose: addItem });
  introduce();
  $("request").open = innerWidth >= 760; // on a phone the recommendations come first
  listen();
  begin();
  change();
  await showPictures();
  light([...$("recommendations").children].map((line) => ({ item_id: line.dataset.item })));
}

start().catch(say);
