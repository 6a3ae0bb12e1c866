// Updates pages. Everything works without it: pages of running jobs reload, and links load the other parts.
"use strict";

const parsed = (html) => new DOMParser().parseFromString(html, "text/html");

// The progress of a job, rendered by the server after each change; the page reloads at the end.
for (const panel of document.querySelectorAll("[data-events]")) {
  const source = new EventSource(panel.dataset.events);
  source.addEventListener("progress", (event) => {
    panel.replaceChildren(...parsed(event.data).body.childNodes);
  });
  source.addEventListener("end", () => {
    source.close();
    location.reload();
  });
}

// Parts that are fetched again while the page is visible.
for (const part of document.querySelectorAll("[data-refresh]")) {
  setInterval(async () => {
    if (document.hidden || part.contains(document.activeElement)) return;
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
    const fresh = answer && answer.ok && parsed(await answer.text()).getElementById(part.id);
    if (fresh) part.replaceChildren(...fresh.childNodes);
  }, Number(part.dataset.refresh) * 1000);
}

// The actions for chosen letters are active once a letter is chosen.
const choose = document.getElementById("choose");
if (choose) {
  const boxes = [...document.querySelectorAll("input[name=id][form=choose]")];
  const look = () => choose.classList.toggle("idle", !boxes.some((box) => box.checked));
  boxes.forEach((box) => box.addEventListener("change", look));
  look();
}
