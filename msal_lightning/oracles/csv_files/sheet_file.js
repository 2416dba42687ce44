// ---------------------------------------------------------------- the file

const quoted = (field) => (/[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field);

// same rule as io/csv_cells.py: an apostrophe before text that a spreadsheet would run; a number is no formula
const isRun = (text) =>
  /^[\s'"\ufeff\u200b\0]*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(text) && !/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text);
const guarded = (text) => (isRun(text) ? `'${text}` : text);

function csv() {
  const cell = (item, rank, name) =>
    name === "path" ? item.cells.path : guarded(name === "label" ? labels[rank] ?? "" : item.cells[name]);
  const lines = items.map((item, rank) => data.columns.map((name) => cell(item, rank, name)));
  return [data.columns, ...lines].map((fields) => `${fields.map(quoted).join(",")}\n`).join("");
}

function download() {
  const url = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  element("a", { href: url, download: data.file }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}
