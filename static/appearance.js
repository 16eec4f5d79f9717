// Light or dark, as it was chosen on this device. This is no module, because a module runs after
// the page was first drawn, and the page would flash in the other colours.

(() => {
  const KEY = "chat/appearance";
  const [light, dark] = document.querySelectorAll("meta[name=theme-color]");
  const bright = light.content;
  const deep = dark.content;

  /** Show "light", "dark", or without a choice what the system says. */
  function show(chosen) {
    if (chosen) document.documentElement.dataset.appearance = chosen;
    else delete document.documentElement.dataset.appearance;
    light.content = chosen === "dark" ? deep : bright;
    dark.content = chosen === "light" ? bright : deep;
  }

  function chosenBefore() {
    try {
      return JSON.parse(localStorage.getItem(KEY));
    } catch {
      return null; // the browser refuses its storage
    }
  }

  show(chosenBefore());
  // Who is logged in here sees the outline of their chats until the page is there, and not of a form.
  try {
    const isKnown = (sessionStorage["chat/session"] ?? localStorage["chat/session"]) !== undefined;
    document.documentElement.classList.toggle("known", isKnown);
  } catch {
    // As above.
  }
  addEventListener("appearance", ({ detail }) => show(detail)); // from the settings
  addEventListener("storage", ({ key }) => key === KEY && show(chosenBefore())); // of another window
})();
