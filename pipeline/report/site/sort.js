// Tables sort by a click on a heading; without JavaScript they stay in the order that they come in.
(function () {
  "use strict";

  // "98.36 % (98.09–98.59)" sorts as 98.36 and "12,345" as 12345; what is empty goes to the end.
  function valueOf(cell) {
    var text = cell.textContent.trim().replace(/\u2212/g, "-");
    if (text === "" || text === "–") return null;
    var number = text.replace(/,(?=\d{3})/g, "").match(/^[+-]?\d*\.?\d+(e[+-]?\d+)?(?=\s|%|$)/i);
    return number ? parseFloat(number[0]) : text.toLowerCase();
  }

  function compare(a, b) {
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
    return typeof a === "number" ? -1 : 1;
  }

  function sort(table, headings, column) {
    var heading = headings[column];
    var sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    headings.forEach(function (other) { other.removeAttribute("aria-sort"); });
    heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    var body = table.tBodies[0];
    Array.from(body.rows)
      .map(function (row) { return { row: row, value: valueOf(row.cells[column]) }; })
      .sort(function (a, b) {
        var isEmpty = a.value === null || b.value === null;
        return (isEmpty ? 1 : sign) * compare(a.value, b.value);
      })
      .forEach(function (item) { body.appendChild(item.row); });
  }

  document.querySelectorAll("table.sortable").forEach(function (table) {
    if (!table.tHead || !table.tBodies[0] || table.tBodies[0].rows.length < 2) return;
    var headings = Array.from(table.tHead.rows[0].cells);
    headings.forEach(function (heading, column) {
      if (!heading.textContent.trim()) return;
      var button = document.createElement("button");
      button.type = "button";
      if (heading.querySelector("a")) {
        button.setAttribute("aria-label", "Sort by " + heading.textContent.trim());
      } else {
        while (heading.firstChild) button.appendChild(heading.firstChild);
      }
      heading.appendChild(button);
      button.addEventListener("click", function () { sort(table, headings, column); });
    });
  });
})();
