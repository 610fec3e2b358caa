"use strict";
(() => {
  const PERIOD = 2000, PATIENCE = 10000;
  const live = document.getElementById("live");
  const pause = document.getElementById("pause");
  const content = document.getElementById("content");
  let at = live.dataset.at, paused = false, busy = false, timer = 0;

  const say = (text, state) => {
    if (live.textContent !== text) live.textContent = text;
    live.dataset.state = state;
  };

  // Makes a node like another one and touches nothing that is so already: the focus, what is marked and what is
  // open stay as they are.
  const sync = (old, next) => {
    if (old.nodeType !== next.nodeType || old.nodeName !== next.nodeName) {
      old.replaceWith(document.importNode(next, true));
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue;
      return;
    }
    if (old.isEqualNode(next)) return;
    for (const { name, value } of next.attributes)
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    for (const { name } of [...old.attributes])
      if (name !== "open" && !next.hasAttribute(name)) old.removeAttribute(name);
    const were = [...old.childNodes], are = [...next.childNodes];
    are.forEach((node, nth) =>
      nth < were.length ? sync(were[nth], node) : old.append(document.importNode(node, true)));
    were.slice(are.length).forEach((node) => node.remove());
  };

  const take = (text) => {
    const next = new DOMParser().parseFromString(text, "text/html");
    const [told, shown] = [next.getElementById("live"), next.getElementById("content")];
    if (!told || !shown) throw new Error("what came is not this page");
    const style = (page) => page.querySelector("style").textContent;
    // Another version of the program has another page.
    if (style(next) !== style(document)) return location.reload();
    sync(content, shown);
    if (document.title !== next.title) document.title = next.title;
    at = told.dataset.at;
    say("Live, as of " + at, "live");
  };

  const poll = async () => {
    clearTimeout(timer);
    if (paused || busy || document.hidden) return;
    busy = true;
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
      const text = await answer.text();
      if (!answer.ok) throw new Error("status " + answer.status);
      if (!paused) take(text);
    } catch (error) {
      const why = error.message.startsWith("status ") ? " (" + error.message + ")" : "";
      if (!paused) say("No answer" + why + ". What is shown is of " + at, "lost");
    }
    busy = false;
    timer = setTimeout(poll, PERIOD);
  };

  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    if (paused) say("Paused, as of " + at, "paused");
    poll();
  });
  document.addEventListener("visibilitychange", poll);
  pause.hidden = false;
  say("Live, as of " + at, "live");
  timer = setTimeout(poll, PERIOD);
})();
