// Makes pages live. Everything works without it: running jobs reload themselves, lists are loaded by links.
"use strict";

const parsed = (html) => new DOMParser().parseFromString(html, "text/html");

// A job's progress, as the server renders it, with every change; the finished page at the end.
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

// A part of the page that is loaded after the rest.
for (const place of document.querySelectorAll("[data-load]")) {
  fetch(place.dataset.load).then(async (answer) => {
    if (answer.ok) place.replaceChildren(...parsed(await answer.text()).body.childNodes);
  });
}

// A part of the page that grows old: fetched again for as long as somebody looks.
for (const part of document.querySelectorAll("[data-refresh]")) {
  setInterval(async () => {
    if (document.hidden || part.contains(document.activeElement)) return;
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
    const fresh = answer && answer.ok && parsed(await answer.text()).getElementById(part.id);
    if (fresh) part.replaceChildren(...fresh.childNodes);
  }, Number(part.dataset.refresh) * 1000);
}

// What is done with chosen letters is offered once one is chosen.
const choose = document.getElementById("choose");
if (choose) {
  const boxes = [...document.querySelectorAll("input[name=id][form=choose]")];
  const look = () => choose.classList.toggle("idle", !boxes.some((box) => box.checked));
  boxes.forEach((box) => box.addEventListener("change", look));
  look();
}
