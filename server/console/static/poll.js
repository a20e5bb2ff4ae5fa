/**
 * A page that asks again and again says whether it still gets answers.
 *
 * htmx asks for what changed (`server.console.negotiation_pages`); this module says on the page that
 * it does, and since when nothing comes any more and why. Without JavaScript the page says that it
 * stands still.
 */

const note = document.getElementById("following");
let lost = "";

/**
 * Say how the page stands.
 *
 * @param {"on" | "lost" | "out" | "gone"} state
 */
function say(state) {
  if (note === null) return;
  lost = state === "on" ? "" : lost || new Date().toLocaleTimeString(document.documentElement.lang);
  const text = (note.dataset[state] ?? "").replace("{time}", lost);
  if (note.textContent !== text) note.textContent = text;
  note.classList.toggle("stale", state !== "on");
}

/** @type {Record<number, "out" | "gone">} */
const WHY = { 401: "out", 403: "out", 404: "gone" };

document.body.addEventListener("htmx:afterRequest", (event) => {
  const { successful, xhr } = event.detail;
  say(successful ? "on" : (WHY[xhr.status] ?? "lost"));
});
document.body.addEventListener("htmx:afterSwap", () => {
  if (note !== null) note.hidden = document.querySelector("[hx-trigger]") === null;
});
say("on");
