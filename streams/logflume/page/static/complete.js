// The SQL editor: names are completed as they are written; Ctrl+Enter runs.
const MOST = 8;
const NAME = /[A-Za-z_][A-Za-z0-9_]*$/;
let known = null;

async function words(area) {
  known ??= fetch(area.dataset.words).then((answer) => (answer.ok ? answer.json() : { words: [] }));
  return (await known).words;
}

function parts(area) {
  const form = area.form;
  return { list: form.querySelector("#words"), status: form.querySelector("[data-completions]") };
}

function close(area) {
  const { list, status } = parts(area);
  list.hidden = true;
  list.replaceChildren();
  area.removeAttribute("aria-activedescendant");
  status.textContent = "";
}

function mark(area, at) {
  const items = [...parts(area).list.children];
  items.forEach((item, number) => item.setAttribute("aria-selected", String(number === at)));
  area.setAttribute("aria-activedescendant", items[at].id);
}

async function suggest(area, always) {
  const before = area.value.slice(0, area.selectionStart);
  const begun = before.match(NAME)?.[0] ?? "";
  if (begun.length < 2 && !always) return close(area);
  const wanted = begun.toLowerCase();
  const all = await words(area);
  const fits = (each) => each.word.toLowerCase().startsWith(wanted);
  const found = [...all.filter(fits), ...all.filter((each) => !fits(each) && wanted && each.word.toLowerCase().includes(wanted))].slice(0, MOST);
  if (!found.length || (found.length === 1 && found[0].word === begun)) return close(area);
  const { list, status } = parts(area);
  list.replaceChildren(
    ...found.map((each, at) => {
      const item = document.createElement("li");
      item.id = `word-${at}`;
      item.setAttribute("role", "option");
      item.dataset.insert = each.insert;
      item.textContent = each.word;
      const says = document.createElement("span");
      says.textContent = each.says;
      item.append(" ", says);
      return item;
    }),
  );
  list.hidden = false;
  mark(area, 0);
  status.textContent = `${found.length} names; arrows choose, Enter takes`;
}

function take(area, item) {
  const begun = area.value.slice(0, area.selectionStart).match(NAME)?.[0] ?? "";
  area.setRangeText(item.dataset.insert, area.selectionStart - begun.length, area.selectionStart, "end");
  close(area);
}

document.addEventListener("input", (event) => {
  if (event.target.matches("textarea[data-words]")) suggest(event.target, false);
});
document.addEventListener("keydown", (event) => {
  const area = event.target;
  if (!area.matches?.("textarea[data-words]")) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    close(area);
    return area.form.requestSubmit();
  }
  if (event.key === " " && event.ctrlKey) {
    event.preventDefault();
    return suggest(area, true);
  }
  const { list } = parts(area);
  if (list.hidden) return;
  const items = [...list.children];
  const at = items.findIndex((item) => item.getAttribute("aria-selected") === "true");
  if (event.key === "ArrowDown") mark(area, (at + 1) % items.length);
  else if (event.key === "ArrowUp") mark(area, (at - 1 + items.length) % items.length);
  else if (event.key === "Enter" || event.key === "Tab") take(area, items[at]);
  else if (event.key === "Escape") close(area);
  else return;
  event.preventDefault();
});
document.addEventListener("pointerdown", (event) => {
  const item = event.target.closest?.("#words li");
  const area = document.querySelector("textarea[data-words]");
  if (item) {
    event.preventDefault();
    take(area, item);
  } else if (area && event.target !== area) close(area);
});
