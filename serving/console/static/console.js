"use strict";

// Fills in the parts of a page that have to be asked for; without scripts each has a link.
async function fill(place) {
  place.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(place.dataset.part, { headers: { accept: "text/html" } });
    place.innerHTML = await answer.text(); // our own server's, escaped there; scripts do not run
  } catch {
    place.innerHTML = '<p class="down" role="status">The console does not answer.</p>';
  }
  place.setAttribute("aria-busy", "false");
}

function lazily(places) {
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        seen.unobserve(entry.target);
        fill(entry.target);
      }
    }
  }, { rootMargin: "600px" });
  places.forEach((place) => seen.observe(place));
}

function mind(form) {
  const most = Number(form.dataset.mostBytes);
  const file = form.querySelector("input[type=file]");
  const fault = form.querySelector(".fault");
  form.addEventListener("submit", (event) => {
    const chosen = file.files[0];
    if (chosen && chosen.size > most) {
      event.preventDefault();
      fault.textContent =
        `The file has more than ${most / 1048576} MB; send one run, which has about one.`;
      fault.hidden = false;
      file.focus();
    }
  });
}

lazily(document.querySelectorAll("[data-part]"));
document.querySelectorAll("form[data-most-bytes]").forEach(mind);
document.querySelectorAll("select[data-submit]").forEach((select) => {
  select.addEventListener("change", () => select.form.submit());
});
document.querySelectorAll("[data-again]").forEach((group) => {
  const timer = setInterval(() => {
    if (group.dataset.until && group.querySelector(group.dataset.until)) clearInterval(timer);
    else if (!document.hidden) group.querySelectorAll("[data-part]").forEach(fill);
  }, Number(group.dataset.again) * 1000);
});
document.querySelectorAll("[data-print]").forEach((button) => {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
});
