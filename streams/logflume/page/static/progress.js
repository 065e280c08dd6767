// Queries that run: how far they are, twice a second, and a way to end them without leaving the page.
const LOOK_MS = 500;

function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (bytes >= 1000 && at < units.length - 1) [bytes, at] = [bytes / 1000, at + 1];
  return `${bytes.toFixed(at ? 1 : 0)} ${units[at]}`;
}

function running() {
  const roots = [document, ...[...document.querySelectorAll(".parts")].map((each) => each.shadowRoot).filter(Boolean)];
  return roots
    .flatMap((root) => [...root.querySelectorAll("[data-query]")])
    .filter((each) => each.dataset.query && !(each.parentElement instanceof HTMLSlotElement && each.parentElement.assignedNodes().length));
}

async function look(place) {
  const answer = await fetch(`/api/v1/query/${encodeURIComponent(place.dataset.query)}`);
  if (!answer.ok) return;
  const told = await answer.json();
  const read = told.scanned ? `, ${size(told.scanned.bytes)} of ${size(told.scanned.of_bytes)} read` : "";
  place.querySelector("[data-progress]").textContent = `${told.state}, ${told.seconds.toFixed(1)} s${read}`;
  if (told.state !== "waiting" && told.state !== "running" && place.closest("[data-running]")) location.reload();
}

async function turn() {
  try {
    if (!document.hidden) await Promise.all(running().map(look));
  } catch {
    // the server will be asked again
  }
  setTimeout(turn, LOOK_MS);
}

// Clicks, unlike a form's own event, come out of the shadow in which the waiting parts stand.
document.addEventListener("click", (event) => {
  const form = event.composedPath()[0].closest?.("form[data-cancel]");
  if (!form || !event.composedPath()[0].closest("button")) return;
  event.preventDefault();
  form.querySelector("button").disabled = true;
  fetch(`/api/v1/query/${encodeURIComponent(form.closest("[data-query]").dataset.query)}`, { method: "DELETE" });
});
setTimeout(turn, LOOK_MS);
