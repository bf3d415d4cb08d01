// A wide table of partitions begins with the oldest: it is shown from its newest end.
"use strict";

for (const table of document.querySelectorAll(".to-the-end")) table.scrollLeft = table.scrollWidth;
document.addEventListener("toggle", (event) => {
  for (const table of event.target.querySelectorAll(".to-the-end")) table.scrollLeft = table.scrollWidth;
}, true);
