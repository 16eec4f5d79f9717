// Forms of the settings. What was typed stays until it is saved, and what is wrong with it stands
// below the field that it is about.

import { LoggedOut } from "../../api.js";
import { h } from "../../dom.js";

/** A labelled field. Its name is that of the API's member, because the API's sentences begin so. */
export function field(name, label, { hint = null, rows = null, ...attributes } = {}) {
  const id = `settings-${name}`;
  const described = hint ? `${id}-hint ${id}-fault` : `${id}-fault`;
  const known = { id, name, rows, dir: "auto", autocomplete: "off", "aria-describedby": described };
  return h(
    "div.field",
    {},
    h("label", { for: id }, label),
    h(rows ? "textarea" : "input", { ...known, ...attributes }),
    hint && h("small", { id: `${id}-hint` }, hint),
    h("small.fault", { id: `${id}-fault` }),
  );
}

/**
 * A form with a button that saves. `save` is called with the values and resolves to a sentence that
 * says what has been done. `blame` names the field that a refusal is about, where its sentence does
 * not say so.
 */
export function form(fields, { verb, kind = "primary", save, blame = () => null }) {
  const status = h("p.status", { role: "status" });
  const submit = h(`button.${kind}`, {}, verb);
  const element = h("form", {}, fields, h("div.row", {}, submit, status));

  function show({ fault = "", name = null, said = "" }) {
    for (const input of element.querySelectorAll("[name]")) {
      const isIt = input.name === name;
      input.setAttribute("aria-invalid", isIt);
      const place = element.querySelector(`#${input.id}-fault`);
      if (place) place.textContent = isIt ? fault : "";
      if (isIt) input.focus();
    }
    status.textContent = name ? "" : fault || said;
    status.classList.toggle("fault", Boolean(fault));
  }

  element.addEventListener("input", () => show({}));
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (submit.getAttribute("aria-disabled") === "true") return; // it is under way
    submit.setAttribute("aria-disabled", "true"); // `disabled` would lose the focus
    show({});
    try {
      show({ said: await save(Object.fromEntries(new FormData(element))) });
    } catch (error) {
      if (!(error instanceof LoggedOut)) show(described(element, error, blame(error)));
    } finally {
      submit.removeAttribute("aria-disabled");
    }
  });
  return element;
}

/** The sentence of a fault in the words of the form, and the field that it is about. */
function described(element, error, blamed) {
  const [member] = (error.original ?? "").split(" ", 1);
  const input = element.elements[blamed ?? member];
  const [label] = input?.labels ?? [];
  const fault = label && !blamed ? error.message.replace(member, label.textContent) : error.message;
  return { fault, name: input?.name };
}
