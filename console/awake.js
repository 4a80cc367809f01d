// Tells the console that somebody is at this desk, and warns before a session ends. One copy a page.
// Only keys, presses and the wheel count: a page that draws itself anew, or a tab nobody looks at, keeps nothing awake.
"use strict";
(() => {
  if (window.sorgAwake) return; // Streamlit draws its tag anew with each page.
  window.sorgAwake = true;

  const SECOND = 1000;
  const watched = new WeakSet();
  let every = 60 * SECOND;
  let warn = 120 * SECOND;
  let pressed = false;
  let toldAt = Date.now();
  let askAt = 0;
  let overAt = 0;
  let isIdle = true;
  let isOver = false;
  let isBusy = false;
  let isLeaving = false;
  let isCut = false;
  let hasTyped = false;
  let leftAt = 0;

  const bar = document.createElement("div");
  bar.className = "sorg-awake";
  bar.setAttribute("role", "status");
  bar.hidden = true;
  const says = document.createElement("span");
  const again = document.createElement("a");
  again.textContent = "Sign in again";
  again.className = "sorg-button";
  again.hidden = true;
  again.addEventListener("click", leave);
  bar.append(says, again);

  function press() {
    if (document.hidden || isOver) return;
    pressed = true;
    if (!bar.hidden) toldAt = 0; // The warning is answered at once.
    step();
  }

  // The image viewer lies in a frame of our own origin: what is pressed there is pressed here.
  function watch(page) {
    if (!page || watched.has(page)) return;
    watched.add(page);
    for (const kind of ["keydown", "pointerdown", "wheel"])
      page.addEventListener(kind, press, { capture: true, passive: true });
  }

  // What is typed into a report is kept (console/drafts.py); of other fields nothing is promised.
  function noteTyping(event) {
    if (event.target.closest(".st-key-report-text")) hasTyped = true;
  }

  function noteLeaving(event) {
    if (event.target.closest(".st-key-report-text")) leftAt = Date.now();
  }

  // The page itself says that the session is over: what was typed is kept by then.
  function isTold() {
    return document.querySelector('.sorg-empty[role="alert"]') !== null;
  }

  // The field is often left by the press on the bar. What was typed is on its way then, and must arrive before we go.
  async function leave(event) {
    if (!hasTyped || Date.now() - leftAt > 2 * SECOND) return;
    event.preventDefault();
    const until = Date.now() + 10 * SECOND;
    while (!isTold() && Date.now() < until) await new Promise((done) => setTimeout(done, 50));
    location.assign(again.href);
  }

  // Streamlit's own dialog for a server that does not know this page any more, by its heading.
  function cutOff() {
    const dialogs = document.querySelectorAll('[data-testid="stDialog"] [role="dialog"]');
    return [...dialogs].find((one) => one.querySelector("h2")?.textContent === "Connection error");
  }

  // Its words say nothing to anybody, and it keeps the bar out of reach: a session that is over is said by the bar.
  function mindDialog() {
    const dialog = cutOff();
    if (dialog && isOver) dialog.querySelector("button")?.click();
    else if (dialog && !isCut) askAt = 0;
    isCut = Boolean(dialog);
  }

  function say(sentence) {
    if (says.textContent !== sentence) says.textContent = sentence;
    bar.hidden = !sentence;
    if (sentence && !bar.isConnected) document.body.append(bar);
  }

  function draw() {
    const left = overAt - Date.now();
    if (left > warn) return say("");
    const minutes = Math.ceil(left / (60 * SECOND));
    const soon = minutes > 1 ? `in ${minutes} minutes` : "in less than a minute";
    say(
      isIdle
        ? `Are you still there? You are signed out ${soon}. Press any key to stay.`
        : `Your session ends ${soon}, however busy you are. Save your work now, then sign in again.`,
    );
  }

  function end() {
    isOver = true;
    again.href = `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
    again.hidden = false;
    const kept = "What you typed and did not save is offered to you when you open that report again.";
    say(hasTyped ? `You are signed out. ${kept}` : "You are signed out.");
    mindDialog();
  }

  async function send(method) {
    isBusy = true;
    try {
      const answer = await fetch("/awake", { method, credentials: "same-origin", cache: "no-store" });
      if (answer.status === 401) return end();
      if (!answer.ok) throw new Error(String(answer.status));
      if (method === "POST") {
        askAt = Date.now(); // How long there is now, the server says.
        return;
      }
      const told = await answer.json();
      every = told.every_s * SECOND;
      warn = told.warn_s * SECOND;
      isIdle = told.is_idle;
      overAt = Date.now() + told.left_s * SECOND;
      const calm = told.left_s * SECOND - warn;
      // While it warns, another window or the images may keep the session awake: it is asked again, soon.
      askAt = Date.now() + (calm > 0 ? calm + SECOND : Math.min(10 * SECOND, told.left_s * SECOND + SECOND));
      draw();
    } catch {
      if (method === "POST") pressed = true;
      askAt = Date.now() + 15 * SECOND; // The console is away for a moment; its own page says so.
    } finally {
      isBusy = false;
    }
  }

  function step() {
    if (isBusy || isOver) return;
    if (pressed && !document.hidden && Date.now() - toldAt >= every) {
      pressed = false;
      toldAt = Date.now();
      send("POST");
    } else if (Date.now() >= askAt) send("GET");
    else if (!bar.hidden) draw();
  }

  setInterval(() => {
    watch(document);
    for (const frame of document.querySelectorAll("iframe")) {
      try {
        watch(frame.contentDocument);
      } catch {
        continue; // A frame of another place is none of ours.
      }
    }
    // A code was typed that opened something for longer: the page goes on under a new token (console/anew.py).
    const onward = document.querySelector(".st-key-sorg-anew a");
    if (onward && !isLeaving) {
      isLeaving = true;
      location.assign(onward.href);
    }
    if (isOver && isTold()) say(""); // The page itself says it now.
    mindDialog();
    step();
  }, SECOND);
  document.addEventListener("focusout", noteLeaving, { capture: true, passive: true });
  document.addEventListener("input", noteTyping, { capture: true, passive: true });
  watch(document);
  step();
})();
