// Searching in a menu by typing: a list of what fits, the best first, in place of gradio's own,
// which has only what contains the text as it stands. First come exact names, then names that
// begin so, then those with parts that begin with the words, in any order, then whatever has all
// words. `camviz.ui.choices.search` ranks alike. Enter takes the best; arrows choose another.
// Where nothing fits, the list says so and offers what is spelled alike. In menus of classes a
// number is a class by its index, and a name that several have is never chosen by Enter alone.
// What is chosen is chosen in gradio's list. menus, classes: selectors.
(menus, classes) => {
  const MOST = 60, TURNS = 50;
  const pause = () => new Promise(resolve => setTimeout(resolve));
  const kind = letter => /[0-9]/.test(letter) ? 1 : /[a-z]/.test(letter) ? 2 : 0;
  const beginsPart = (text, word) => {
    for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1))
      if (at === 0 || kind(text[at - 1]) !== kind(word[0])) return true;
    return false;
  };
  const rank = ({text, name, others, number}, words) => {
    const whole = words.join(" ");
    if (whole === name || whole === String(number)) return 0;
    if (whole === name.split(".")[0] || others.includes(whole)) return 1;
    if (name.startsWith(whole)) return 2;
    if (words.every(word => beginsPart(name, word))) return 3;
    if (words.every(word => beginsPart(text, word))) return 4;
    return words.every(word => text.includes(word)) ? 5 : 6;
  };
  const pairs = text => Array.from({length: Math.max(0, text.length - 1)}, (_, i) =>
    text.slice(i, i + 2));
  const likeness = (one, other) => {
    const [some, more] = [pairs(one), new Set(pairs(other))];
    return 2 * some.filter(pair => more.has(pair)).length / (some.length + more.size || 1);
  };

  // All entries of a menu, in their order. One of several menus may stand for others.
  const entriesOf = id => {
    const kept = window.camvizEntries ?? {};
    if (id === "backbone") return kept.backbone ?? kept["models-with"];
    if (id === "versus") return [...kept.versus ?? [], ...(kept.target ?? []).slice(1)];
    return kept[id];
  };
  const optionsOf = from => {
    const counted = from.matches(classes);
    return (entriesOf(from.id) ?? []).map((label, index) => {
      const text = label.toLowerCase(), [head, ...rest] = text.split(" · ");
      return {
        label, text, name: counted ? head.replace(/ \(\d+\)$/, "") : head,
        others: rest.flatMap(part => part.split(", ")),
        number: counted && index ? index - 1 : null,
      };
    });
  };

  const list = document.createElement("ul");
  list.id = "cv-found";
  list.role = "listbox";
  list.setAttribute("aria-label", "What fits");
  list.tabIndex = -1; // or what scrolls would cost one Tab
  (document.querySelector(".gradio-container main") ?? document.body).append(list);
  let menu = null, input = null, options = [], typed = false, active = -1, shown = [];
  let early = false; // Enter came before what the menu holds
  let controlled = null; // the list that gradio's text names, while ours stands in its place

  const close = () => {
    list.classList.remove("cv-open");
    menu?.removeAttribute("data-searched");
    input?.removeAttribute("aria-activedescendant");
    if (controlled !== null) input?.setAttribute("aria-controls", controlled);
    [active, shown, controlled] = [-1, [], null];
  };
  const place = () => {
    const around = (input.closest(".wrap") ?? input).getBoundingClientRect();
    const below = innerHeight - around.bottom, up = below < 200 && around.top > below;
    list.style.left = `${around.left}px`;
    list.style.width = `${around.width}px`;
    list.style.maxHeight = `${Math.min(320, (up ? around.top : below) - 12)}px`;
    list.style.top = up ? "auto" : `${around.bottom + 4}px`;
    list.style.bottom = up ? `${innerHeight - around.top + 4}px` : "auto";
  };
  const activate = index => {
    list.querySelector("[aria-selected=true]")?.setAttribute("aria-selected", "false");
    active = index;
    const item = list.querySelectorAll("[role=option]")[index];
    item?.setAttribute("aria-selected", "true");
    item?.scrollIntoView({block: "nearest"});
    if (item) input.setAttribute("aria-activedescendant", item.id);
    else input.removeAttribute("aria-activedescendant");
  };
  const item = ({label, number}, index) => {
    const element = document.createElement("li");
    element.id = `cv-found-${index}`;
    element.role = "option";
    element.dataset.found = String(index);
    const [head, ...rest] = label.split(" · ");
    element.append(`${head} `);
    const small = document.createElement("small");
    small.textContent = [...(number === null ? [] : [number]), ...rest].join(" · ");
    element.append(small);
    return element;
  };
  const message = text => {
    const element = document.createElement("li");
    element.role = "presentation";
    element.className = "cv-none";
    element.textContent = text;
    return element;
  };
  const near = text => options
    .map(option => ({option, share: likeness(text, option.name.split(".")[0])}))
    .filter(({share}) => share > 0.3)
    .sort((one, other) => other.share - one.share)
    .map(({option}) => option)
    .filter(({name}, at, all) =>
      all.findIndex(one => one.name.split(".")[0] === name.split(".")[0]) === at)
    .slice(0, 3);

  const search = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length || !options.length) return close();
    const found = options.map(option => ({option, rank: rank(option, words)}))
      .filter(one => one.rank < 6)
      .sort((one, other) => one.rank - other.rank);
    shown = found.slice(0, MOST).map(one => one.option);
    const notes = [];
    let chosen = 0;
    if (!found.length) {
      shown = near(words.join(" "));
      chosen = -1;
      notes.push(`Nothing here is called “${input.value.trim()}”.${shown.length ? " Near:" : ""}`);
    } else if (menu.matches(classes)) {
      const exact = found.filter(one => one.rank === found[0].rank && one.rank < 2).length;
      if (exact > 1) {
        chosen = -1;
        notes.push(`${exact} classes go by that name; choose one.`);
      }
    }
    list.replaceChildren(...notes.map(message), ...shown.map(item));
    if (found.length > MOST) list.append(message(`and ${found.length - MOST} more`));
    list.classList.add("cv-open");
    menu.setAttribute("data-searched", "");
    controlled ??= input.getAttribute("aria-controls");
    input.setAttribute("aria-controls", list.id);
    place();
    activate(chosen);
  };

  const setText = async text => {
    input.value = text;
    input.dispatchEvent(new Event("input", {bubbles: true}));
    input.dispatchEvent(new KeyboardEvent("keydown", {key: "Shift", bubbles: true}));
    await pause();
    await pause();
  };
  const take = async index => {
    const wanted = shown[index], from = menu;
    close();
    if (!wanted) return;
    typed = false;
    await setText(wanted.label);
    const find = () => [...from.querySelectorAll("[role=option]")]
      .find(one => one.ariaLabel === wanted.label);
    for (let turn = 0; turn < TURNS && !find(); turn++) await pause(); // gradio lists it then
    find()?.dispatchEvent(new MouseEvent("mousedown", {bubbles: true, cancelable: true}));
  };

  document.addEventListener("focusin", event => {
    close();
    [menu, input, options, typed] = [event.target.closest?.(menus), event.target, [], false];
    early = false;
    const text = input;
    if (menu) setTimeout(() => { // so that typing replaces what is chosen, but nothing typed
      const there = document.activeElement === text; // or selecting would take the focus back
      if (there && !typed) text.select?.();
    });
  }, {capture: true});
  document.addEventListener("click", event => { // which puts the caret somewhere
    if (menu && event.target === input && !typed) input.select?.();
  }, {capture: true});
  document.addEventListener("focusout", close, {capture: true});
  document.addEventListener("input", event => {
    if (!event.isTrusted || !menu || event.target !== input) return;
    typed = true;
    if (!options.length) options = optionsOf(menu);
    search();
  }, {capture: true});
  document.addEventListener("camviz-entries", () => {
    if (!menu || !typed) return;
    options = optionsOf(menu);
    search();
    if (early && options.length) take(active);
    early = early && !options.length;
  });
  document.addEventListener("keydown", event => {
    if (!event.isTrusted || !menu || event.target !== input) return;
    const open = list.classList.contains("cv-open");
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (event.key === "Escape") close();
    early = event.key === "Enter" && typed && !entriesOf(menu.id)?.length;
    if (early) event.stopPropagation();
    if (!open || !step && (event.key !== "Enter" || !typed)) return;
    event.stopPropagation();
    event.preventDefault();
    if (step) activate(Math.max(0, Math.min(shown.length - 1, active + step)));
    else take(active);
  }, {capture: true});
  list.addEventListener("mousedown", event => {
    event.preventDefault(); // the text keeps the focus
    const chosen = event.target.closest("[data-found]");
    if (chosen) take(Number(chosen.dataset.found));
  });
  document.addEventListener("scroll", event => {
    if (event.target !== list && list.classList.contains("cv-open")) place();
  }, {capture: true, passive: true});
}
