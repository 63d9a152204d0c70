// Runs before the scripts of a page: what the server streams arrives in bursts, one each 700 ms, as
// it does in a browser that is busy.
(() => {
  const EVERY = 700;
  const fetch = window.fetch;
  window.fetch = async (...given) => {
    const response = await fetch(...given);
    if (!String(given[0].url ?? given[0]).includes("/queue/data")) return response;
    let held = [];
    let timer = 0;
    const hold = new TransformStream({
      start(controller) {
        timer = setInterval(() => {
          for (const chunk of held) controller.enqueue(chunk);
          held = [];
        }, EVERY);
      },
      transform(chunk) { held.push(chunk); },
      flush(controller) {
        clearInterval(timer);
        for (const chunk of held) controller.enqueue(chunk);
      },
    });
    return new Response(response.body.pipeThrough(hold), response);
  };
})();
