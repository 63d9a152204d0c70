// Where many visitors wait, the server's queue is full: it answers 503, and gradio gives the event
// up. Here the event is asked for again until there is room, and a sentence says so meanwhile.
sentence => {
  const [FIRST, LONGEST, TRIES] = [1000, 8000, 60];
  const send = window.fetch;
  let waiting = 0;

  const show = change => {
    waiting += change;
    let line = document.getElementById("in-line");
    if (!line) {
      line = document.createElement("div");
      line.id = "in-line";
      line.setAttribute("role", "status");
      document.getElementById("notice")?.before(line);
    }
    line.className = waiting ? "cv-notice" : "";
    line.textContent = waiting ? sentence : "";
  };

  const isFull = async answer =>
    answer.status === 503 && (await answer.clone().text()).includes("Queue is full");

  const sendAgain = async (request, answer) => {
    show(1);
    try {
      for (let tries = 0; tries < TRIES && await isFull(answer); tries++) {
        const pause = Math.min(FIRST * 1.4 ** tries, LONGEST);
        await new Promise(done => setTimeout(done, pause * (0.75 + Math.random() / 2)));
        answer = await send(...request);
      }
      return answer;
    } finally {
      show(-1);
    }
  };

  window.fetch = async (...request) => {
    const answer = await send(...request);
    const queued = String(request[0]?.url ?? request[0]).includes("/queue/join");
    return queued && await isFull(answer) ? sendAgain(request, answer) : answer;
  };
}
