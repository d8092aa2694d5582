//<![CDATA[
"use strict";
// Tables can be copied in three forms, figures and tables filtered. All that comes from the study is
// read as text and written as text.
(() => {
  const FILTERS = ["objective", "scenario", "ratio", "seed"];
  const make = (name, words, parent) => {
    const made = document.createElement(name);
    made.textContent = words;
    parent.append(made);
    return made;
  };
  const line = (words) => words.replace(/\s+/g, " ").trim();
  const clean = (node) => line(node.textContent);
  const head = (table) => [...table.rows[0].cells].map((cell) => line(cell.dataset.name ?? clean(cell)));
  const body = (table) => [...table.rows].slice(1);

  const read = (table) =>
    body(table).filter((row) => !row.hidden).map((row) => ({
      cells: [...row.cells].map(clean),
      keys: row.title.startsWith("stages: ") ? row.title : "",
    }));

  const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
  const FORMS = {
    Markdown: (names, rows) => {
      const text = (word) => word.replace(/[\\|<>*_`[\]]/g, "\\$&");
      const row = (cells) => `| ${cells.map(text).join(" | ")} |`;
      const dashes = `|${names.map(() => " --- |").join("")}`;
      const keys = rows.filter((row) => row.keys).map((row) => row.keys.replace(/--+/g, "-"));
      const notes = keys.length ? ["", `<!-- a row each: ${keys.join("; ")} -->`] : [];
      return [row(names), dashes, ...rows.map((one) => row(one.cells)), ...notes].join("\n");
    },
    LaTeX: (names, rows) => {
      const marks = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}",
        "^": "\\textasciicircum{}", "<": "\\textless{}", ">": "\\textgreater{}",
        "|": "\\textbar{}", "\u00b1": "$\\pm$", "\u2265": "$\\geq$", "\u2013": "--" };
      const text = (word) => word.replace(/[\\~^<>|\u00b1\u2265\u2013{}$&#_%]/g,
        (mark) => marks[mark] ?? `\\${mark}`);
      const row = (cells) => `${cells.map(text).join(" & ")} \\\\`;
      const sides = names.map((_, column) =>
        rows.every((row) => /^[-+\d.]|^$/.test(row.cells[column] ?? "")) ? "r" : "l").join("");
      const lines = rows.map((one) => row(one.cells) + (one.keys ? ` % ${one.keys}` : ""));
      return ["% \\usepackage{booktabs}", `\\begin{tabular}{${sides}}`, "\\toprule", row(names),
        "\\midrule", ...lines, "\\bottomrule", "\\end{tabular}"].join("\n");
    },
    CSV: (names, rows) => {
      const safe = (word) => (/^[=+\-@\t\r]/.test(word) && !NUMBER.test(word) ? `'${word}` : word);
      const text = (word) => (/[",\n]/.test(safe(word)) ? `"${safe(word).replace(/"/g, '""')}"` : safe(word));
      return [names, ...rows.map((row) => row.cells)].map((row) => row.map(text).join(",")).join("\n");
    },
  };
  const written = (table, form) => `${FORMS[form](head(table), read(table))}\n`;

  const copy = async (words) => {
    try {
      await navigator.clipboard.writeText(words);
      return true;
    } catch {
      const area = make("textarea", words, document.body);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  };
  for (const table of document.querySelectorAll("table")) {
    const tools = make("div", "Copy as ", document.createDocumentFragment());
    tools.className = "tools";
    for (const form of Object.keys(FORMS)) {
      const button = make("button", form, tools);
      button.type = "button";
      button.addEventListener("click", async () => {
        said.textContent = (await copy(written(table, form))) ? "copied" : "the browser does not allow it";
      });
    }
    const said = make("span", "", tools);
    said.setAttribute("role", "status");
    table.closest(".scroll").before(tools);
  }

  // What a mark says when it is pointed at, for those who touch: beneath its figure.
  for (const figure of document.querySelectorAll("figure")) {
    const said = make("output", "", figure);
    figure.addEventListener("click", (event) => {
      const mark = event.target.closest("circle, g, rect");
      const title = mark && [...mark.children].find((one) => one.tagName === "title");
      said.textContent = title ? title.textContent : "";
    });
  }

  const chosen = {};
  const fits = (name, word) => !chosen[name] || !word || line(word) === chosen[name];
  const filter = () => {
    for (const panel of document.querySelectorAll("figure, details")) {
      panel.hidden = !FILTERS.every((name) => fits(name, panel.dataset[name]));
    }
    for (const mark of document.querySelectorAll("svg [data-scenario]")) {
      const here = fits("scenario", mark.dataset.scenario) && fits("seed", mark.dataset.seed);
      mark.classList.toggle("off", !here);
    }
    for (const chart of document.querySelectorAll("figure svg")) {
      chart.classList.toggle("only", Boolean(chosen.seed));
    }
    for (const table of document.querySelectorAll("table")) {
      const places = head(table).map((name, place) => [name, place]).filter(([name]) => FILTERS.includes(name));
      for (const row of body(table)) {
        row.hidden = !places.every(([name, place]) => {
          const word = clean(row.cells[place]);
          return word === "control" || fits(name, word);
        });
      }
    }
  };
  const known = (name) => {
    const words = new Set();
    for (const mark of document.querySelectorAll(`main [data-${name}]`)) words.add(line(mark.dataset[name]));
    for (const table of document.querySelectorAll("table")) {
      const place = head(table).indexOf(name);
      if (place !== -1) for (const row of body(table)) words.add(clean(row.cells[place]));
    }
    for (const word of ["", "control"]) words.delete(word);
    return [...words].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  };
  const bar = document.createElement("form");
  bar.className = "filters";
  bar.setAttribute("aria-label", "Filter figures and tables");
  for (const name of FILTERS) {
    const words = known(name);
    if (![0, 1].includes(words.length)) {
      const label = make("label", `${name} `, bar);
      const select = make("select", "", label);
      make("option", "all", select).value = "";
      for (const word of words) make("option", word, select).value = word;
      select.addEventListener("change", () => { chosen[name] = select.value; filter(); });
    }
  }
  if (bar.children.length) document.querySelector("main > section").after(bar);
})();
//]]>
