// Sorts a table by the column whose button is clicked; rows without a value stay at the end. Each row is a tbody, which
// may contain a second line.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];

  function valueOf(body, column) {
    const cell = body.rows[0].cells[column];
    if (!("value" in cell.dataset)) return cell.textContent.trim().toLowerCase();
    return cell.dataset.value === "" ? null : Number(cell.dataset.value);
  }

  function compare(one, other, sign) {
    if (one === null || other === null) return (one === null) - (other === null);
    return sign * (typeof one === "string" ? one.localeCompare(other) : one - other);
  }

  function sort(column, sign) {
    const bodies = [...table.tBodies].map((body) => [valueOf(body, column), body]);
    bodies.sort(([one], [other]) => compare(one, other, sign));
    table.append(...bodies.map(([, body]) => body));
  }

  heads.forEach((head, column) => {
    head.querySelector("button")?.addEventListener("click", () => {
      const opposite = { ascending: "descending", descending: "ascending" };
      const direction = opposite[head.getAttribute("aria-sort")] ?? head.dataset.first;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", direction);
      sort(column, direction === "ascending" ? 1 : -1);
    });
  });
}
