// Makes whatever a page does later happen later still: frames, timers, answers, observers. What
// follows an action by chance only, because this machine is quick, does not follow it then.
(() => {
  const FRAME = 100, TIMER = 200, ANSWER = 400, SEEN = 150; // ms
  const later = window.setTimeout.bind(window);
  const frame = window.requestAnimationFrame.bind(window);
  const drop = window.cancelAnimationFrame.bind(window);
  const { fetch } = window;
  const frames = new Set();
  let last = 0;
  window.setTimeout = (run, wait = 0, ...rest) => later(run, wait + TIMER, ...rest);
  window.requestAnimationFrame = run => {
    const id = --last; // never one of the browser's own
    frames.add(id);
    later(() => frame(now => { if (frames.delete(id)) run(now); }), FRAME);
    return id;
  };
  window.cancelAnimationFrame = id => { if (!frames.delete(id)) drop(id); };
  window.fetch = async (...request) => {
    const answer = await fetch(...request);
    await new Promise(done => later(done, ANSWER));
    return answer;
  };
  for (const name of ["ResizeObserver", "IntersectionObserver"]) {
    const Own = window[name];
    window[name] = class extends Own {
      constructor(run, ...rest) {
        super((...seen) => later(() => run(...seen), SEEN), ...rest);
      }
    };
  }
})();
