// What opens in its place: a record in its table, a field's values in its list. The address follows.
async function fetched(url) {
  const answer = await fetch(url, { headers: { Accept: "text/html" } });
  if (answer.redirected) location.reload(); // the session is over
  return answer.text();
}

function holder(link) {
  return link.closest("tr, li");
}

async function toggle(link, url) {
  const item = holder(link);
  if (link.getAttribute("aria-expanded") === "true") {
    link.setAttribute("aria-expanded", "false");
    for (const each of link.dataset.row ? [item.nextElementSibling] : item.querySelectorAll(".values, .failed")) each?.remove();
    return;
  }
  link.setAttribute("aria-expanded", "true");
  const html = await fetched(url);
  if (link.getAttribute("aria-expanded") !== "true") return;
  if (!link.dataset.row) {
    item.insertAdjacentHTML("beforeend", html);
    return;
  }
  const row = document.createElement("tr");
  row.className = "opened";
  const cell = row.insertCell();
  cell.colSpan = item.cells.length;
  cell.innerHTML = html; // made by the server, which escapes records
  item.after(row);
}

document.addEventListener("click", (event) => {
  if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const link = event.target.closest("a[data-row], a[data-part]");
  if (!link) return;
  event.preventDefault();
  const opens = link.getAttribute("aria-expanded") !== "true";
  toggle(link, link.dataset.row ?? link.dataset.part);
  if (link.id && link.dataset.closed) history.replaceState(null, "", opens ? link.href : link.dataset.closed);
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = button.closest(".detail").querySelector("[data-json]").textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.closest(".detail").querySelector("details").open = true;
    button.textContent = "Can't copy here: select it below";
  }
});
new MutationObserver(() => {
  for (const each of document.querySelectorAll("[data-copy][hidden]")) each.hidden = false;
}).observe(document, { childList: true, subtree: true });
