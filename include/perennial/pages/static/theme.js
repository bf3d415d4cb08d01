// Takes over the colours that were chosen in Airflow's UI: before anything is drawn, and when another is chosen there.
"use strict";
function takeOver() {
  try {
    const chosen = localStorage.getItem("theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
    else delete document.documentElement.dataset.theme;
  } catch {
    // Storage may be forbidden; the system's colours are fine.
  }
}

takeOver();
addEventListener("storage", takeOver);
