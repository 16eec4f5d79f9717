// What a few signs in a text mean: `code`, ```blocks of it```, **bold**, *italic* and _italic_.
//
// The signs stay in the document, only out of sight. So what is selected and copied is the text as
// it was written. Like links.js this errs on the side of text: a sign means something only in pairs,
// within a line, and at the edges of words ("2 * 3 * 4", snake_case and *.txt stay what they are).

import { h } from "./dom.js";
import { beside, cut, linked, WITHOUT_SPACES } from "./links.js";

// A block may begin with the name of its language. The line breaks at its edges are signs too: they
// would show as empty lines.
const CODE = /(```(?:[\w+#.-]*\n)?)((?:(?!```)[^])+?)(\n?```\n?)|(`)([^`\n]+)`(?!`)|`+/g;
const SIGNS = /\*+|_+|\n/g;
const TAGS = { "**": "strong", "*": "em", _: "em" };
const HIDDEN = "\uffff"; // stands where no sign is looked for, and is no letter

/** The text's nodes, with links in them. */
export const formatted = (text) => nodes(text, 0, text.length, spans(text));

function nodes(text, from, to, rest) {
  const found = [];
  while (rest[0]?.from < to) {
    const span = rest.shift();
    const { first, last } = span;
    const isCode = span.tag.startsWith("code");
    const content = isCode ? [text.slice(first, last)] : nodes(text, first, last, rest);
    const [before, after] = [text.slice(span.from, first), text.slice(last, span.to)].map(sign);
    found.push(...linked(text.slice(from, span.from)));
    found.push(h(span.tag, { dir: isCode ? "ltr" : null }, before, ...content, after));
    from = span.to;
  }
  return [...found, ...linked(text.slice(from, to))];
}

const sign = (text) => h("span.sign", { "aria-hidden": "true" }, text);

/** The text without the signs, for where it stands in one line. */
export function plain(text) {
  const signs = spans(text).flatMap(({ from, first, last, to }) => [[from, first], [last, to]]);
  let kept = "";
  let at = 0;
  for (const [from, to] of signs.sort(([a], [b]) => a - b)) {
    kept += text.slice(at, from) + (text.slice(from, to).includes("\n") ? "\n" : "");
    at = to;
  }
  return kept + text.slice(at);
}

/** What has a meaning in a text, in order: from where to where with its signs (from, to) and
 * without them (first, last). One may be inside another, but none goes across another's edge. */
function spans(text) {
  if (!/[`*_]/.test(text)) return []; // as most texts
  const codes = [...text.matchAll(CODE)]
    .filter(([, , block = "", , inline = ""]) => (block + inline).trim())
    .map(({ index: from, 0: all, 1: fence, 2: block, 4: tick, 5: inline }) => {
      const first = from + (fence ?? tick).length;
      const last = first + (block ?? inline).length;
      return { tag: fence ? "code.block" : "code", from, first, last, to: from + all.length };
    });
  return [...codes, ...pairs(withoutCodeAndLinks(text, codes))].sort((a, b) => a.from - b.from);
}

function withoutCodeAndLinks(text, codes) {
  let kept = "";
  let at = 0;
  for (const { tag, from, to } of codes) {
    const filling = tag === "code" ? HIDDEN : "\n"; // nothing is bold from before a block to after it
    kept += text.slice(at, from) + filling.repeat(to - from);
    at = to;
  }
  const hidden = (part) => (typeof part === "string" ? part : HIDDEN.repeat(part.text.length));
  return cut(kept + text.slice(at)).map(hidden).join("");
}

/** The signs that open and the ones that close them. */
function pairs(text) {
  const found = [];
  let open = [];
  for (const { 0: mark, index: from } of text.matchAll(SIGNS)) {
    if (mark === "\n") open = [];
    if (!TAGS[mark]) continue;
    const to = from + mark.length;
    const [before, after] = beside(text, from, to);
    const at = open.findIndex((each) => each.mark === mark);
    if (at >= 0 && isInside(before) && isOutside(after)) {
      const { from: start, to: first } = open[at];
      found.push({ tag: TAGS[mark], from: start, first, last: from, to });
      open.length = at;
    } else if (isOutside(before) && isInside(after) && !/[.,:;!?/\\]/.test(after)) {
      open = [...open.filter((each) => each.mark !== mark), { mark, from, to }];
    }
  }
  return found;
}

const isInside = (character) => /\S/.test(character);

/** Whether a word does not go on with this. */
const isOutside = (character) =>
  !/[\p{L}\p{M}\p{N}/\\]/u.test(character) || WITHOUT_SPACES.test(character);
