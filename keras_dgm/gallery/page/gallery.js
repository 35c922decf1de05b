"use strict";
(() => {
  const main = document.getElementById("models");
  const cards = [...main.children];
  const control = (id) => document.getElementById(id);
  const words = new Intl.Collator("en", { numeric: true });

  const keys = {
    name: (card) => card.dataset.name,
    data: (card) => card.dataset.data,
    // The families in the order of the menu, which is the library's.
    family: (card) => String([...control("family").options].findIndex((o) => o.value === card.dataset.family)),
    parameters: (card) => card.dataset.parameters,
  };

  function arrange() {
    const key = keys[control("sort").value];
    const ordered = [...cards].sort(
      (a, b) => words.compare(key(a), key(b)) || words.compare(a.dataset.name, b.dataset.name));
    main.append(...ordered);
    const family = control("family").value, data = control("data").value;
    const search = control("search").value.trim().toLowerCase();
    let shown = 0;
    for (const card of cards) {
      const text = `${card.dataset.name} ${card.dataset.class}`.toLowerCase();
      card.hidden = (family && card.dataset.family !== family)
        || (data && card.dataset.data !== data) || !text.includes(search);
      shown += !card.hidden;
    }
    control("count").textContent = shown === cards.length ? `${shown} models` : `${shown} of ${cards.length} models`;
    control("nothing").hidden = shown > 0;
  }

  // The pictures of a card one at a time. Without this script they stand below one another.
  function tabs(card) {
    const views = [...card.querySelectorAll(".view")];
    if (views.length < 2) return;
    const list = document.createElement("div");
    list.className = "tabs";
    list.setAttribute("role", "tablist");
    list.setAttribute("aria-label", `Pictures of ${card.dataset.name}`);
    const buttons = views.map((view, number) => {
      const button = document.createElement("button");
      view.id = `${card.id}-view-${number}`;
      button.id = `${view.id}-tab`;
      button.type = "button";
      button.textContent = view.dataset.title;
      button.setAttribute("role", "tab");
      button.setAttribute("aria-controls", view.id);
      view.setAttribute("role", "tabpanel");
      view.setAttribute("aria-labelledby", button.id);
      button.addEventListener("click", () => show(number));
      return button;
    });
    function show(chosen) {
      buttons.forEach((button, number) => {
        button.setAttribute("aria-selected", String(number === chosen));
        button.tabIndex = number === chosen ? 0 : -1;
        views[number].hidden = number !== chosen;
      });
    }
    list.addEventListener("keydown", (event) => {
      const now = buttons.indexOf(document.activeElement), last = buttons.length - 1;
      const to = { ArrowRight: now < last ? now + 1 : 0, ArrowLeft: now > 0 ? now - 1 : last, Home: 0, End: last }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      show(to);
      buttons[to].focus();
    });
    list.append(...buttons);
    views[0].parentElement.classList.add("tabbed");
    views[0].before(list);
    show(0);
  }

  cards.forEach(tabs);
  for (const id of ["sort", "family", "data"]) control(id).addEventListener("change", arrange);
  control("search").addEventListener("input", arrange);
  control("tools").addEventListener("submit", (event) => event.preventDefault());
  arrange();
})();
