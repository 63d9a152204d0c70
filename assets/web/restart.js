// Says that the server cannot be reached, and opens the page again when another process of it is
// there: what was set stands in the address bar. Where the same one answers again, only the
// connection was lost, and the page stays as it is. A request that was refused or lost tells of it;
// an open page that nobody touches asks for nothing.
() => {
  const HEALTH = new URL("health", document.baseURI);
  const PROCESS = new URL("gradio_api/app_id", document.baseURI);
  const SOON = 2000;  // milliseconds between two questions whether it is back
  const ask = window.fetch.bind(window);
  let waiting = false;

  const isWell = async () => {
    try {
      return (await ask(HEALTH, { cache: "no-store" })).ok;
    } catch {
      return false;
    }
  };

  const isAnother = async () => {
    try {
      const found = await (await ask(PROCESS, { cache: "no-store" })).json();
      return found.app_id !== window.gradio_config?.app_id;
    } catch {
      return false;
    }
  };

  const show = () => {
    const banner = document.createElement("div");
    banner.id = "restarting";
    banner.setAttribute("role", "status");
    document.querySelector("#page")?.append(banner);
    banner.textContent = "The server is being restarted, or cannot be reached. " +
      "This page goes on by itself as soon as it is back.";
    return banner;
  };

  const wait = async () => {
    if (waiting) return;
    waiting = true;
    if (!await isWell()) {
      const banner = show();
      while (!await isWell()) await new Promise(done => setTimeout(done, SOON));
      if (await isAnother()) return location.reload();
      banner.textContent = "The server is back. What you did last may not have reached it.";
      setTimeout(() => banner.remove(), 3 * SOON);
    }
    waiting = false;
  };

  window.fetch = async (...given) => {
    try {
      const response = await ask(...given);
      if (response.status === 503) wait();
      return response;
    } catch (error) {
      if (error instanceof TypeError) wait();  // of the network; what is given up is an AbortError
      throw error;
    }
  };
}
