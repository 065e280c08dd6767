// A link /sign-in#token=…: what is behind # reaches no server, so the token is posted, and gone from the address.
export function signIn() {
  const form = document.querySelector("form[data-sign-in]");
  if (!form || !location.hash) return;
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  history.replaceState(null, "", location.pathname + location.search);
  if (!token) return;
  form.elements.token.value = token;
  if (form.hasAttribute("data-again")) form.querySelector("button").focus(); // who is signed in presses it himself
  else form.submit();
}
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", signIn);
else signIn();
