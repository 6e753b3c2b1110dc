// A map of the items on a canvas: ten thousand points, moved and zoomed by hand or keys.

const PALETTE = {
  light: ["#0072b2", "#d55e00", "#009e73", "#a8569b", "#b58900", "#4aa3d8", "#7a5230", "#5b5bd6"],
  dark: ["#56b4e9", "#f0883e", "#2fc99b", "#d88bc8", "#e3c04b", "#9fd3f5", "#c79a73", "#9d9df5"],
};
const SHADES = {
  light: ["#c6d9e8", "#8fb8d6", "#4f8fbd", "#1f5f8b", "#0d3350"],
  dark: ["#2c4558", "#3f6d8f", "#5c9cc9", "#9acdf0", "#e3f3ff"],
};
const INK = {
  light: { other: "#aab1ba", history: "#c0004e", answer: "#111820", edge: "#ffffff" },
  dark: { other: "#58626e", history: "#ff8ab3", answer: "#ffffff", edge: "#12161b" },
};
const BY_POPULARITY = "popularity";

export class ItemMap {
  constructor(canvas, { tip, legend, choose }) {
    this.canvas = canvas;
    this.tip = tip;
    this.legend = legend;
    this.choose = choose;
    this.points = null;
    this.lit = { history: [], answers: [] };
    this.view = { x: 0, y: 0, zoom: 1 };
    this.isDark = matchMedia("(prefers-color-scheme: dark)");
    this.isDark.addEventListener("change", () => this.colour(this.by));
    new ResizeObserver(() => this.draw()).observe(canvas);
    this.listen();
  }

  get theme() {
    return this.isDark.matches ? "dark" : "light";
  }

  set(picture) {
    this.points = picture;
    this.byId = new Map(picture.items.map((item, n) => [item.item_id, n]));
  }

  // Colours the points by an attribute or by popularity, and writes the legend.
  colour(by) {
    this.by = by;
    if (!this.points) return;
    const { items } = this.points;
    let groups;
    if (by === BY_POPULARITY) {
      const names = ["least popular", "", "", "", "most popular"];
      const size = Math.max(1, items.length);
      groups = items.map((item, n) => 4 - Math.min(4, Math.floor((5 * n) / size)));
      this.colours = SHADES[this.theme];
      this.names = names;
    } else {
      const counts = new Map();
      for (const item of items) {
        for (const value of item.attributes[by] ?? []) {
          counts.set(value, (counts.get(value) ?? 0) + 1);
        }
      }
      const common = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 8);
      const order = new Map(common.map(([value], n) => [value, n]));
      // An item of several values has the colour of its rarest one.
      groups = items.map((item) =>
        Math.max(-1, ...(item.attributes[by] ?? []).map((value) => order.get(value) ?? -1)),
      );
      this.colours = PALETTE[this.theme];
      this.names = common.map(([value]) => value);
    }
    this.groups = Int8Array.from(groups);
    this.describe(groups.includes(-1));
    this.draw();
  }

  describe(hasOthers) {
    const ink = INK[this.theme];
    const entries = this.names
      .map((name, n) => [name, this.colours[n]])
      .filter(([name]) => name);
    if (hasOthers) entries.push(["other", ink.other]);
    entries.push(["history", ink.history], ["recommended", ink.answer]);
    this.legend.replaceChildren(
      ...entries.map(([name, colour]) => {
        const line = document.createElement("li");
        const key = document.createElement("span");
        key.className = "key";
        key.style.background = colour;
        line.append(key, name);
        return line;
      }),
    );
  }

  light(history, answers) {
    this.lit = { history, answers };
    this.draw();
  }

  draw() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = null;
      this.paint();
    });
  }

  place(n) {
    const { x, y, zoom } = this.view;
    const scale = this.scale * zoom;
    return [
      this.width / 2 + (this.points.x[n] - x) * scale,
      this.height / 2 - (this.points.y[n] - y) * scale,
    ];
  }

  paint() {
    const box = this.canvas.getBoundingClientRect();
    if (!this.points || !this.groups || !box.width) return;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    [this.width, this.height] = [box.width, box.height];
    this.scale = Math.min(box.width, box.height) * 0.47;
    if (this.canvas.width !== Math.round(box.width * ratio)) {
      this.canvas.width = Math.round(box.width * ratio);
      this.canvas.height = Math.round(box.height * ratio);
    }
    const pen = this.canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, box.width, box.height);
    const size = Math.min(7, 2.2 * Math.sqrt(this.view.zoom)) * (this.points.x.length < 500 ? 2 : 1);
    pen.globalAlpha = 0.75;
    // One colour after the other: changing it is what costs time.
    for (let group = -1; group < this.colours.length; group += 1) {
      pen.fillStyle = group < 0 ? INK[this.theme].other : this.colours[group];
      for (let n = 0; n < this.groups.length; n += 1) {
        if (this.groups[n] !== group) continue;
        const [x, y] = this.place(n);
        if (x < -9 || y < -9 || x > box.width + 9 || y > box.height + 9) continue;
        pen.fillRect(x - size / 2, y - size / 2, size, size);
      }
    }
    pen.globalAlpha = 1;
    const ink = INK[this.theme];
    for (const id of this.lit.history) this.ring(pen, id, ink.history, ink.edge, "");
    this.lit.answers.forEach((id, n) => this.ring(pen, id, ink.answer, ink.edge, n + 1));
    if (this.hovered !== undefined) {
      const [x, y] = this.place(this.hovered);
      pen.strokeStyle = ink.answer;
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(x, y, 8, 0, 7);
      pen.stroke();
    }
  }

  ring(pen, id, colour, edge, text) {
    const n = this.byId.get(id);
    if (n === undefined) return;
    const [x, y] = this.place(n);
    pen.beginPath();
    pen.arc(x, y, text ? 8.5 : 5, 0, 7);
    pen.fillStyle = colour;
    pen.fill();
    pen.lineWidth = 1.5;
    pen.strokeStyle = edge;
    pen.stroke();
    if (text) {
      pen.fillStyle = edge;
      pen.font = "600 10px system-ui, sans-serif";
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      pen.fillText(text, x, y + 0.5);
    }
  }

  nearest(event) {
    if (!this.points || !this.groups) return undefined;
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let best;
    let least = 14 ** 2;
    for (let n = 0; n < this.groups.length; n += 1) {
      const [px, py] = this.place(n);
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < least) [best, least] = [n, distance];
    }
    return best;
  }

  hover(n) {
    if (n === this.hovered) return;
    this.hovered = n;
    this.tip.hidden = n === undefined;
    if (n !== undefined) this.tip.textContent = this.points.items[n].title;
    this.draw();
  }

  zoom(factor, event = null) {
    const zoom = Math.min(60, Math.max(1, this.view.zoom * factor));
    if (event && this.scale) {
      const box = this.canvas.getBoundingClientRect();
      const dx = (event.clientX - box.left - this.width / 2) / this.scale;
      const dy = (event.clientY - box.top - this.height / 2) / this.scale;
      this.view.x += dx / this.view.zoom - dx / zoom;
      this.view.y -= dy / this.view.zoom - dy / zoom;
    }
    this.view.zoom = zoom;
    this.keep();
  }

  move(dx, dy) {
    this.view.x -= dx / (this.scale * this.view.zoom);
    this.view.y += dy / (this.scale * this.view.zoom);
    this.keep();
  }

  all() {
    this.view = { x: 0, y: 0, zoom: 1 };
    this.draw();
  }

  // The middle of the view stays among the items.
  keep() {
    for (const axis of ["x", "y"]) {
      this.view[axis] = Math.min(1, Math.max(-1, this.view[axis]));
    }
    this.draw();
  }

  listen() {
    const { canvas } = this;
    let from = null;
    let moved = 0;
    canvas.addEventListener("pointerdown", (event) => {
      from = [event.clientX, event.clientY];
      moved = 0;
      if (event.pointerType === "mouse") canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (from) {
        const [dx, dy] = [event.clientX - from[0], event.clientY - from[1]];
        moved += Math.abs(dx) + Math.abs(dy);
        from = [event.clientX, event.clientY];
        canvas.classList.add("is-moving");
        this.move(dx, dy);
      } else {
        this.hover(this.nearest(event));
      }
    });
    const end = () => {
      from = null;
      canvas.classList.remove("is-moving");
    };
    canvas.addEventListener("pointerup", (event) => {
      const isClick = from && moved < 5;
      end();
      const n = isClick ? this.nearest(event) : undefined;
      if (n !== undefined) this.choose(this.points.items[n]);
    });
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("pointerleave", () => from || this.hover(undefined));
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.zoom(Math.exp(-event.deltaY / 300), event);
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
      if (event.key in steps) this.move(...steps[event.key]);
      else if (event.key === "+" || event.key === "=") this.zoom(1.4);
      else if (event.key === "-") this.zoom(1 / 1.4);
      else if (event.key === "0") this.all();
      else return;
      event.preventDefault();
    });
  }
}
