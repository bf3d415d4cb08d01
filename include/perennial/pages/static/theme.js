// Takes over the colours that were chosen in Airflow's UI, before anything is drawn; else the system's hold.
"use strict";
try {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage may be forbidden; the system's colours are fine.
}
