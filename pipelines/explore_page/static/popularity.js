// Popularity and coverage: cumulative shares over the items, the most popular first.

export function drawCoverage(canvas, coverage, ranks) {
  const box = canvas.getBoundingClientRect();
  if (!coverage || !box.width) return;
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  canvas.width = Math.round(box.width * ratio);
  canvas.height = Math.round(box.height * ratio);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  const style = getComputedStyle(document.documentElement);
  const ink = (name) => style.getPropertyValue(`--${name}`).trim();
  const [left, top, right, bottom] = [38, 8, box.width - 10, box.height - 26];
  // Few items have most of the rows: the root of the share spreads them out.
  const x = (share) => left + (right - left) * Math.sqrt(share);
  const y = (share) => bottom - (bottom - top) * share;

  pen.font = "11px system-ui, sans-serif";
  pen.fillStyle = ink("muted");
  pen.strokeStyle = ink("line");
  pen.lineWidth = 1;
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (const share of [0, 0.5, 1]) {
    pen.beginPath();
    pen.moveTo(left, y(share));
    pen.lineTo(right, y(share));
    pen.stroke();
    pen.fillText(`${100 * share}%`, left - 5, y(share));
  }
  pen.textBaseline = "top";
  for (const share of [0.01, 0.1, 0.3, 1]) {
    pen.textAlign = share === 1 ? "right" : "center";
    pen.fillText(share === 1 ? "all items" : `top ${100 * share}%`, x(share), bottom + 9);
  }
  pen.lineJoin = "round";
  pen.lineWidth = 2.5;
  for (const [name, colour] of [["rows", "muted"], ["answers", "accent"]]) {
    pen.strokeStyle = ink(colour);
    pen.beginPath();
    coverage.items.forEach((share, n) => pen.lineTo(x(share), y(coverage[name][n])));
    pen.stroke();
  }
  pen.fillStyle = ink("warm");
  for (const rank of ranks) pen.fillRect(x(rank / coverage.num_items) - 1, bottom - 5, 3, 10);
}
