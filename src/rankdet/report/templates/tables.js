// Sort buttons and the filter box. Without JavaScript the headings stay text and the box stays hidden.
(function () {
  "use strict";
  // A button can be reached and pressed with the keyboard; the click goes to sortable.min.js.
  document.querySelectorAll("table.sortable > thead > tr:last-child > th").forEach(function (th) {
    if (th.classList.contains("no-sort") || !th.textContent.trim()) return;
    var button = document.createElement("button");
    button.type = "button";
    button.title = "Sort";
    while (th.firstChild) button.appendChild(th.firstChild);
    th.appendChild(button);
  });

  function filter(words, status) {
    var shown = 0, every = 0, found = new Map();
    document.querySelectorAll("table.sortable").forEach(function (table) {
      var box = table.closest("figure"), caption = box && box.querySelector("figcaption");
      var about = caption ? caption.textContent : "", own = 0;
      table.querySelectorAll("tbody > tr").forEach(function (row) {
        var text = (about + " " + row.textContent).toLowerCase();
        row.hidden = !words.every(function (word) { return text.includes(word); });
        own += row.hidden ? 0 : 1;
        every += 1;
      });
      shown += own;
      (box || table).classList.toggle("no-match", own === 0 && words.length > 0);
      var folded = table.closest("details");
      if (folded) found.set(folded, (found.get(folded) || 0) + own);
    });
    found.forEach(function (count, folded) { folded.open = words.length > 0 && count > 0; });
    status.textContent = words.length ? shown + " of " + every + " rows" : "";
  }

  document.querySelectorAll("[data-filter]").forEach(function (box) {
    var input = box.querySelector("input"), status = box.querySelector("output");
    box.hidden = false;
    input.addEventListener("input", function () {
      filter(input.value.toLowerCase().split(/\s+/).filter(Boolean), status);
    });
  });
})();
