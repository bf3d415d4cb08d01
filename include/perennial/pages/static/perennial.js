// What pages do beside being read. Without it every page can be read and every form sent.
"use strict";

// Airflow's UI shows pages in a frame that may not lead out of itself. A link of the outer page, which is of the same
// origin, may; so a link that leaves is followed there.
function leaveFrame(event) {
  const link = event.target.closest("a.leaving");
  if (!link || window.parent === window || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const outer = window.parent.document.createElement("a");
  outer.href = link.href;
  outer.click();
}

document.addEventListener("click", leaveFrame);

// A form that was sent cannot be sent again by another click.
document.addEventListener("submit", (event) => {
  for (const button of event.target.querySelectorAll("button[type=submit]")) {
    setTimeout(() => { button.disabled = true; });
  }
});

// What scrolls sideways can be reached, and scrolled, with the keyboard; what fits is no stop on the way.
const fitting = new ResizeObserver((seen) => {
  for (const { target } of seen) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
for (const box of document.querySelectorAll(".scrolled")) fitting.observe(box);
