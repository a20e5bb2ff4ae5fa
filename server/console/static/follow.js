/**
 * A page that follows something says whether it still does.
 *
 * htmx swaps in what the server sends (`server.console.following`). This module says so, says since
 * when nothing comes any more and why, and keeps the focus, and what was scrolled or folded out. What
 * stands on the page is never taken for the present once the connection is lost.
 */

/** Nothing for so long, and the connection is dead whatever the browser thinks; the server beats
 *  every 15 s. Milliseconds. */
const SILENCE_MS = 40_000;

/** A page that nobody sees lets its connection go after this: browsers share six among all pages of
 *  a host. Milliseconds. */
const UNSEEN_MS = 60_000;

const followed = document.getElementById("followed");
const note = document.getElementById("following");

/** @type {EventSource | undefined} */
let source;
let heard = Date.now();
let lost = "";
let over = false;

/**
 * Say how the page stands.
 * @param {"on" | "lost" | "out" | "gone"} state
 */
function say(state) {
  if (!note || over) return;
  lost = state === "on" ? "" : lost || new Date().toLocaleTimeString(document.documentElement.lang);
  const text = (note.dataset[state] ?? "").replace("{time}", lost);
  if (note.textContent !== text) note.textContent = text;
  note.classList.toggle("stale", state !== "on");
}

/**
 * Ask why nothing comes: whether it is the connection, the session, or the page itself. Where all is
 * well again and the browser does not try by itself, the page is opened anew.
 */
async function why() {
  const address = followed?.getAttribute("sse-connect");
  if (!address || over) return;
  try {
    const answer = await fetch(address, { method: "HEAD" });
    if (answer.status === 401) say("out");
    else if (answer.status === 404) say("gone");
    else if (answer.ok && source?.readyState !== EventSource.CONNECTING) location.reload();
  } catch {
    say("lost");
  }
}

/** Each message is a sign of life. */
function hear() {
  heard = Date.now();
  say("on");
}

/** Where each scrolled region of the page is, by its id.
 * @returns {Map<string, number>} */
function scrolled() {
  const regions = [...document.querySelectorAll(".scroll[id]")];
  return new Map(regions.filter((one) => one.scrollLeft).map((one) => [one.id, one.scrollLeft]));
}

/** What is folded out. @returns {string[]} */
function unfolded() {
  return [...document.querySelectorAll("details[id][open]")].map((one) => one.id);
}

/** @type {Map<string, number>} */
let places = new Map();
/** @type {string[]} */
let open = [];
let focused = "";

/** The focus goes back to what took the place of what had it, once every module has seen that. */
function refocus() {
  if (focused && document.activeElement === document.body) {
    document.getElementById(focused)?.focus({ preventScroll: true });
  }
  focused = "";
}

document.body.addEventListener("htmx:sseOpen", (event) => {
  source = /** @type {CustomEvent} */ (event).detail.source;
  source?.addEventListener("beat", hear);
  hear();
});
document.body.addEventListener("htmx:sseError", (event) => {
  source = /** @type {CustomEvent} */ (event).detail.source;
  say("lost");
  why();
});
document.body.addEventListener("htmx:sseBeforeMessage", () => {
  places = scrolled();
  open = unfolded();
  // Where messages come one upon another, the focus may be on its way back already.
  if (document.activeElement !== document.body) focused = document.activeElement?.id ?? "";
});
document.body.addEventListener("htmx:sseMessage", () => {
  for (const [id, left] of places) document.getElementById(id)?.scrollTo({ left });
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  setTimeout(refocus);
  hear();
});
document.body.addEventListener("htmx:sseClose", () => {
  over = true;
});
let resting = 0;
document.addEventListener("visibilitychange", () => {
  clearTimeout(resting);
  if (document.visibilityState === "visible") {
    if (lost) why();
  } else {
    resting = setTimeout(() => {
      source?.close();
      say("lost");
    }, UNSEEN_MS);
  }
});
setInterval(() => {
  if (over || document.visibilityState !== "visible" || Date.now() - heard < SILENCE_MS) return;
  say("lost");
  why();
}, 5_000);
