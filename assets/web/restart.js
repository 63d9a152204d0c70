// Says that the server is being restarted, and opens the page again when it is back: what was set
// stands in the address bar. A request that was refused or lost is what tells of it; an open page
// that nobody touches asks for nothing.
() => {
  const HEALTH = new URL("health", document.baseURI);
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

  const show = () => {
    const banner = document.createElement("div");
    banner.id = "restarting";
    banner.setAttribute("role", "status");
    document.querySelector("#page")?.append(banner);
    banner.textContent = "The server is being restarted, or cannot be reached. " +
      "This page goes on by itself as soon as it is back.";
  };

  const wait = async () => {
    if (waiting) return;
    waiting = true;
    if (await isWell()) {
      waiting = false;
      return;
    }
    show();
    while (!await isWell()) await new Promise(done => setTimeout(done, SOON));
    location.reload();
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
