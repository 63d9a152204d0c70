// Asks for the stream of answers again where none comes. Gradio closes it when nothing is to come;
// an event whose receipt comes at that moment believes it open, and its answer waits on the server
// for ever (not reported). A click that does nothing opens it. props.value: what is asked;
// answered.js says that something came.
const [PATIENCE, TRIES] = [2000, 10];
const wait = tries => {
  clearTimeout(window.camvizWaiting);
  if (tries) window.camvizWaiting = setTimeout(() => {
    trigger("click");
    wait(tries - 1);
  }, PATIENCE);
};
watch("value", () => wait(TRIES));
