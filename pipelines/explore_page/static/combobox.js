// A text field with a list of suggestions, usable by keyboard and screen reader alone.

export function combobox(input, { search, choose, describe }) {
  const list = document.getElementById(input.getAttribute("aria-controls"));
  let options = [];
  let active = -1;
  let turn = 0;
  let timer;
  let isPending = false; // typed, and not yet searched
  let takesFirst = false; // Enter came before the suggestions did

  function close() {
    turn += 1;
    clearTimeout(timer);
    isPending = takesFirst = false;
    list.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function mark(position) {
    active = position;
    [...list.children].forEach((child, n) => {
      if (child.role === "option") child.setAttribute("aria-selected", String(n === position));
    });
    const child = list.children[position];
    if (child && options.length) {
      input.setAttribute("aria-activedescendant", child.id);
      child.scrollIntoView({ block: "nearest" });
    } else {
      input.removeAttribute("aria-activedescendant");
    }
  }

  function show() {
    list.replaceChildren(
      ...options.map((option, n) => {
        const { label, detail } = describe(option);
        const child = document.createElement("li");
        child.id = `${list.id}-${n}`;
        child.role = "option";
        child.setAttribute("aria-selected", "false");
        child.textContent = label;
        if (detail) {
          const small = document.createElement("small");
          small.textContent = detail;
          child.append(small);
        }
        child.addEventListener("mousedown", (event) => event.preventDefault());
        child.addEventListener("click", () => take(n));
        return child;
      }),
    );
    if (!options.length) {
      const none = document.createElement("li");
      none.className = "none";
      none.role = "option";
      none.setAttribute("aria-disabled", "true");
      none.setAttribute("aria-selected", "false");
      none.textContent = "Nothing found";
      list.append(none);
    }
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    mark(options.length && input.value ? 0 : -1);
  }

  function take(position) {
    const option = options[position];
    close();
    if (option === undefined) return;
    input.value = "";
    choose(option);
  }

  async function update() {
    const mine = ++turn;
    const found = await search(input.value);
    if (mine !== turn || document.activeElement !== input) return;
    options = found;
    isPending = false;
    show();
    if (takesFirst && options.length) take(0);
    takesFirst = false;
  }

  function later() {
    clearTimeout(timer);
    isPending = true;
    timer = setTimeout(update, 60);
  }

  input.addEventListener("input", later);
  input.addEventListener("click", () => list.hidden && later());
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (list.hidden) {
        later();
      } else if (options.length) {
        const step = event.key === "ArrowDown" ? 1 : -1;
        mark((active + step + options.length) % options.length);
      }
    } else if (event.key === "Enter" && isPending) {
      event.preventDefault();
      takesFirst = input.value !== "";
    } else if (event.key === "Enter" && !list.hidden) {
      event.preventDefault();
      take(active);
    } else if (event.key === "Escape" && !list.hidden) {
      event.preventDefault();
      close();
    }
  });
}
