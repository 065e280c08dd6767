// The histogram: drag over bars, or choose them by arrows (more of them with Shift), and zoom by letting go or Enter.
const chosen = new WeakMap(); // of a chart: the bars between `from` and `to`

function bars(svg) {
  return [...svg.querySelectorAll("g[role=option]")];
}

function choose(svg, from, to) {
  const all = bars(svg);
  const [low, high] = [Math.min(from, to), Math.max(from, to)];
  all.forEach((bar, at) => bar.setAttribute("aria-selected", String(at >= low && at <= high)));
  chosen.set(svg, { from, to });
  svg.setAttribute("aria-activedescendant", all[to].id);
  const first = all[low].getAttribute("aria-label");
  const last = all[high].getAttribute("aria-label");
  say(svg, low === high ? first : `${first.split(" to ")[0]} to ${last.split(" to ")[1].split(":").slice(0, -1).join(":")}, ${high - low + 1} bars`);
}

function say(svg, text) {
  svg.closest(".chart").querySelector("[data-pointed]").textContent = text;
}

function zoom(svg) {
  const range = chosen.get(svg);
  if (!range) return;
  const all = bars(svg);
  const url = new URL(svg.dataset.zoom, location.href);
  url.searchParams.set("since", all[Math.min(range.from, range.to)].dataset.since);
  url.searchParams.set("until", all[Math.max(range.from, range.to)].dataset.until);
  location.assign(url);
}

function under(svg, event) {
  const box = svg.getBoundingClientRect();
  const count = bars(svg).length;
  return Math.min(count - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * count)));
}

let dragged = null;
document.addEventListener("pointerdown", (event) => {
  const svg = event.target.closest?.("svg[data-zoom]");
  if (!svg || event.button) return;
  dragged = svg;
  svg.setPointerCapture(event.pointerId);
  const at = under(svg, event);
  choose(svg, at, at);
});
document.addEventListener("pointermove", (event) => {
  if (dragged) choose(dragged, chosen.get(dragged).from, under(dragged, event));
  else {
    const bar = event.target.closest?.("svg[data-zoom] g[role=option]");
    if (bar) say(bar.closest("svg"), bar.getAttribute("aria-label"));
  }
});
document.addEventListener("pointerup", () => {
  if (!dragged) return;
  zoom(dragged);
  dragged = null;
});
document.addEventListener("pointercancel", () => (dragged = null));

document.addEventListener("keydown", (event) => {
  const svg = event.target.closest?.("svg[data-zoom]");
  if (!svg) return;
  const last = bars(svg).length - 1;
  const range = chosen.get(svg);
  const at = range ? range.to : -1;
  const to = { ArrowLeft: range ? at - 1 : last, ArrowRight: at + 1, Home: 0, End: last }[event.key];
  if (event.key === "Enter") zoom(svg);
  else if (event.key === "Escape" && range) {
    for (const bar of bars(svg)) bar.setAttribute("aria-selected", "false");
    chosen.delete(svg);
    svg.removeAttribute("aria-activedescendant");
    say(svg, "");
  } else if (to !== undefined) {
    const next = Math.min(last, Math.max(0, to));
    choose(svg, event.shiftKey && range ? range.from : next, next);
  } else return;
  event.preventDefault();
});
