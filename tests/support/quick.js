// Does steps on the page, one each `pace` milliseconds, waiting for nothing but for the page to
// have the control. Returns what each did: a label that was clicked, or the value that was set.
//   ["click", CSS]  ["bar" | "rival"]: some class  ["pick", MENU, LABEL]  ["slide", CSS, VALUE]
async ([steps, pace, avoid]) => {
  const sleep = ms => new Promise(done => setTimeout(done, ms));
  const find = async (css, suits = () => true) => {
    for (let tries = 0; tries < 250; tries++) {
      const found = [...document.querySelectorAll(css)].find(suits);
      if (found) return found;
      await sleep(20);
    }
    throw new Error(`nothing is ${css}`);
  };
  const used = new Set(avoid);
  const clickClass = css => async () => {
    const button = await find(css, one => !used.has(one.dataset.label));
    used.add(button.dataset.label);
    button.click();
    return button.dataset.label;
  };
  const acts = {
    async click(css) {
      (await find(css)).click();
      return css;
    },
    bar: clickClass("#bars .cv-bar"),
    rival: clickClass("#bars .cv-rival:not([disabled])"),
    async pick(menu, label) {
      const input = await find(`#${menu} input`);
      input.focus();
      const option = await find(`#${menu} [role=option]`,
        one => one.getAttribute("aria-label").split(" · ")[0] === label);
      option.dispatchEvent(new MouseEvent("mousedown", {bubbles: true, cancelable: true}));
      input.blur();
      return label;
    },
    async slide(css, value) {
      const slider = await find(css);
      slider.value = value;
      for (const name of ["input", "change", "pointerup"])
        slider.dispatchEvent(new Event(name, {bubbles: true}));
      return value;
    },
  };
  const start = performance.now();
  const done = [];
  for (const [number, [act, ...given]] of steps.entries()) {
    await sleep(number * pace - (performance.now() - start));
    done.push(await acts[act](...given));
  }
  return done;
}
