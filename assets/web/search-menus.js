// Enter in a menu takes the best of what fits the text typed: that very name, else one that begins
// so, else one with parts that begin with the words, else the first; words may come in any order.
// Gradio alone takes the first that contains the text as it stands. `camviz.ui.choices.search`
// ranks alike. What was reached with arrow keys is gradio's to take. menus: a selector.
menus => {
  const pause = () => new Promise(resolve => setTimeout(resolve));
  const kind = letter => /[0-9]/.test(letter) ? 1 : /[a-z]/.test(letter) ? 2 : 0;
  const beginsPart = (name, word) => {
    for (let at = name.indexOf(word); at >= 0; at = name.indexOf(word, at + 1))
      if (at === 0 || kind(name[at - 1]) !== kind(word[0])) return true;
    return false;
  };
  const rank = (label, words) => {
    const name = label.toLowerCase().split(" · ")[0], whole = words.join(" ");
    if (whole === name) return 0;
    if (whole === name.split(".")[0]) return 1;
    if (name.startsWith(whole)) return 2;
    if (words.every(word => beginsPart(name, word))) return 3;
    return words.every(word => label.toLowerCase().includes(word)) ? 4 : 5;
  };
  const best = (menu, words) => [...menu.querySelectorAll("[role=option]")]
    .map(option => ({option, rank: rank(option.ariaLabel ?? option.textContent, words)}))
    .filter(found => found.rank < 5)
    .sort((one, other) => one.rank - other.rank)[0]?.option;
  const showWhatContains = async (input, text) => {
    input.value = text;
    input.dispatchEvent(new Event("input", {bubbles: true}));
    input.dispatchEvent(new KeyboardEvent("keydown", {key: "Shift", bubbles: true}));
    await pause();
    await pause();
  };
  let typed = null;
  document.addEventListener("input", event => { typed = event.target; }, {capture: true});
  document.addEventListener("focusin", () => { typed = null; }, {capture: true});
  document.addEventListener("keydown", async event => {
    const input = event.target, menu = input.closest?.(menus);
    if (!menu) return;
    if (event.key.startsWith("Arrow")) typed = null;
    const words = (input.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    if (event.key !== "Enter" || typed !== input || !words.length) return;
    event.stopPropagation();
    event.preventDefault();
    let option = best(menu, words);
    if (!option && words.length > 1) {
      const text = input.value;
      const longest = words.reduce((one, other) => other.length > one.length ? other : one);
      await showWhatContains(input, longest);
      option = best(menu, words);
      if (!option) await showWhatContains(input, text);
    }
    option?.dispatchEvent(new MouseEvent("mousedown", {bubbles: true, cancelable: true}));
  }, {capture: true});
}
