/**
 * How the inspector looks. A constructed sheet, which a Content-Security-Policy without
 * 'unsafe-inline' allows. A stream's hue is the custom property `--hue` of its elements.
 *
 * @module
 */

/**
 * Return the style sheet for a shadow root.
 *
 * @returns {CSSStyleSheet}
 */
export function styleSheet() {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(CSS_TEXT);
  return sheet;
}

const CSS_TEXT = `
:host {
  --paper: #fff; --ink: #1d2327; --faint: #5c666e; --line: #dfe3e6; --wash: #f4f6f7;
  --lightness: 0.5; --chroma: 0.15; --focus: #1d5fd1;
  display: block; color: var(--ink); background: var(--paper); color-scheme: light dark;
  font: 13px/1.5 var(--inspector-font, system-ui, sans-serif);
  border: 1px solid var(--line); border-radius: 10px; overflow: hidden;
}
@media (prefers-color-scheme: dark) {
  :host {
    --paper: #15191d; --ink: #e4e8eb; --faint: #98a3ac; --line: #2b3238; --wash: #1b2126;
    --lightness: 0.8; --chroma: 0.12; --focus: #8ab4ff;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
code, pre, .frame, td { font-family: var(--inspector-mono, ui-monospace, monospace); }
.stream { color: oklch(var(--lightness) var(--chroma) var(--hue, 0)); }
.none { color: var(--faint); }

header {
  display: flex; flex-wrap: wrap; align-items: center; gap: 8px; padding: 10px 14px;
  border-bottom: 1px solid var(--line);
}
h2 { margin: 0 auto 0 0; font-size: 14px; font-weight: 600; }
h2 small { margin-left: 8px; color: var(--faint); font-size: 12px; font-weight: 400; }
input, button {
  font: inherit; color: inherit; background: var(--wash); border: 1px solid var(--line);
  border-radius: 6px; padding: 4px 10px; min-height: 30px;
}
input { width: 15em; max-width: 100%; }
button { cursor: pointer; }
button:hover { border-color: var(--faint); }
button[aria-pressed="true"] { color: var(--paper); background: var(--ink); }
:focus-visible { outline: 2px solid var(--focus); outline-offset: 1px; }
label { color: var(--faint); }

.body { display: grid; grid-template-columns: minmax(300px, 34%) 1fr; }
.streams { overflow: auto; max-height: 340px; border-right: 1px solid var(--line); }
table { width: 100%; border-collapse: collapse; font-size: 12px; }
th {
  position: sticky; top: 0; background: var(--paper); color: var(--faint);
  font-weight: 400; text-align: right;
}
th, td { padding: 4px 10px; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 14px; }
td:nth-child(2), th:nth-child(2) { text-align: left; }
td.stream { max-width: 16em; overflow: hidden; text-overflow: ellipsis; }
tr.away td:not(.stream) { color: var(--faint); }
tbody tr:hover { background: var(--wash); }

.frames { overflow: auto; height: 340px; }
.frame { font-size: 12px; border-bottom: 1px solid var(--line); }
summary {
  display: grid; grid-template-columns: 7.6em 1.2em minmax(6em, 11em) 4.6em 5em 1fr; gap: 0 8px;
  padding: 3px 14px; cursor: pointer; white-space: nowrap; list-style: none;
}
summary::-webkit-details-marker { display: none; }
summary:hover, details[open] summary { background: var(--wash); }
summary:focus-visible { outline-offset: -2px; }
summary span { overflow: hidden; text-overflow: ellipsis; }
.time, .kind { color: var(--faint); }
.size { text-align: right; color: var(--faint); }
pre {
  margin: 0; padding: 6px 14px 10px; max-height: 240px; overflow: auto; background: var(--wash);
  white-space: pre-wrap; overflow-wrap: anywhere;
}
.empty { padding: 14px; color: var(--faint); }

@media (max-width: 760px) {
  .body { grid-template-columns: minmax(0, 1fr); }
  .streams { max-height: 190px; border-right: 0; border-bottom: 1px solid var(--line); }
  summary { grid-template-columns: 1.2em minmax(0, 9em) 4.6em 1fr; }
  summary .time, summary .kind { display: none; }
  input { width: 100%; }
  header label { flex: 1 1 100%; order: 1; }
}
`;
