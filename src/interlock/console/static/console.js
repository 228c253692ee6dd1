// What a page does beyond links and forms. All of it is extra: without script every page works.
(() => {
  "use strict";

  const READ_OUT_MS = 8000;

  // Instants are shown in UTC; hovering tells the reader's own time.
  const ownTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
  const tellOwnTimes = (root) => {
    for (const each of root.querySelectorAll("time[datetime]:not([title])")) {
      each.title = ownTime.format(new Date(each.dateTime));
    }
  };

  // A form must not change under a person's hands: such a page says that it is old instead.
  const stream = () => document.getElementById("stream");
  const heard = () => document.getElementById("heard");
  const start = () => {
    tellOwnTimes(document);
    const source = stream();
    if (!source) return;
    if (source.dataset.live === "tell") {
      source.addEventListener("news", () => {
        const stale = document.getElementById("stale");
        if (stale) stale.hidden = false;
      });
    }
    // What was read out is not left lying on the page, unless it is that nothing is live.
    let clearing;
    new MutationObserver(() => {
      clearTimeout(clearing);
      clearing = setTimeout(() => {
        if (!document.documentElement.dataset.away) heard().textContent = "";
      }, READ_OUT_MS);
    }).observe(heard(), { childList: true, characterData: true, subtree: true });
    // The page must never look live when it is not.
    source.addEventListener("htmx:sse:error", () => {
      document.documentElement.dataset.away = "yes";
      if (heard()) heard().textContent = "Not live: the server cannot be reached. It is tried again by itself.";
    });
    source.addEventListener("htmx:sse:after:connection", () => {
      if (document.documentElement.dataset.away && heard()) heard().textContent = "";
      delete document.documentElement.dataset.away;
    });
  };
  document.addEventListener("htmx:after:swap", () => tellOwnTimes(document));
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
