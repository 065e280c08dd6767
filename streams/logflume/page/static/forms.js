// Forms: choices that act at once, operators that fit their field, the browser's time zone, lists that narrow.
const OWN_ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

function fit(condition) {
  const key = condition.querySelector("[data-key]");
  const operator = condition.querySelector("[data-op]");
  const type = key?.selectedOptions[0]?.dataset.type;
  if (!operator || !type) return;
  for (const option of operator.options) option.hidden = option.disabled = !option.dataset.types.split(" ").includes(type);
  if (operator.selectedOptions[0]?.disabled) operator.value = [...operator.options].find((each) => !each.disabled)?.value;
  condition.querySelector("[name=value]").hidden = "alone" in (operator.selectedOptions[0]?.dataset ?? {});
}

function prepare() {
  for (const condition of document.querySelectorAll(".condition")) fit(condition);
  for (const each of document.querySelectorAll("[data-narrow]")) each.hidden = false;
  for (const select of document.querySelectorAll("[data-zones]")) {
    if (OWN_ZONE && ![...select.options].some((each) => (each.value || "UTC") === OWN_ZONE)) select.add(new Option(`${OWN_ZONE} (here)`, OWN_ZONE));
  }
  for (const button of document.querySelectorAll("[data-unneeded]")) button.hidden = true;
}

document.addEventListener("change", (event) => {
  const target = event.target;
  if (target.matches("[data-go]")) location.assign(target.value);
  if (target.matches("[data-zones]") && target.dataset.zones) location.assign(target.dataset.zones + encodeURIComponent(target.value));
  if (target.matches("[data-submit]")) target.form.requestSubmit();
  if (target.matches("[data-key], [data-op]")) fit(target.closest(".condition"));
});

document.addEventListener("input", (event) => {
  const list = event.target.dataset?.narrow && document.querySelector(event.target.dataset.narrow);
  if (!list) return;
  const wanted = event.target.value.trim().toLowerCase();
  for (const item of list.children) item.hidden = !item.dataset.name.includes(wanted);
});

// Rows without a field are no conditions: they need not stand in the address.
document.addEventListener("submit", (event) => {
  for (const condition of event.target.querySelectorAll?.(".condition") ?? []) {
    if (!condition.querySelector("[data-key]").value) for (const each of condition.querySelectorAll("[name]")) each.disabled = true;
  }
  if (event.target.method !== "get") return;
  for (const each of event.target.elements) if (each.name && each.value === "" && !each.closest(".condition")) each.disabled = true;
});
addEventListener("pageshow", () => {
  for (const each of document.querySelectorAll("form [name]:disabled")) each.disabled = false;
});

new MutationObserver(prepare).observe(document, { childList: true, subtree: true });
prepare();
