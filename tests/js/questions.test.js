// What a list asks of the server: answers by number, one thing at a time, the newest next.

import assert from "node:assert/strict";
import test from "node:test";

const { Newest, Questions } = await import("../../assets/web/questions.js");

test("answers go to who asked, in whatever order they come", async () => {
  const sent = [];
  const questions = new Questions(question => sent.push(question));
  const [first, second] = [questions.ask({ place: 4 }), questions.ask({ place: 9 })];
  assert.deepEqual(sent.map(({ place }) => place), [4, 9]);
  questions.take({ number: sent[1].number, label: "nine" });
  questions.take({ number: sent[1].number, label: "again" });
  questions.take({ number: 99 });
  questions.take(null);
  questions.take({ number: sent[0].number, label: "four" });
  assert.deepEqual([(await first).label, (await second).label], ["four", "nine"]);
});

test("a problem is an error with its sentence, and no answer is one, too", async () => {
  const sent = [];
  const questions = new Questions(question => sent.push(question), 5);
  const refused = questions.ask({});
  questions.take({ number: sent[0].number, problem: "It is gone." });
  await assert.rejects(refused, { message: "It is gone." });
  await assert.rejects(questions.ask({}), { message: "No answer came from the server." });
});

/** A fetch whose ends are up to the test: what was fetched, and how to end the last one. */
function fetching() {
  const found = { fetched: [], end: () => {} };
  found.fetch = wanted => {
    found.fetched.push(wanted);
    return new Promise(resolve => { found.end = resolve; });
  };
  return found;
}

const settled = () => new Promise(resolve => setImmediate(resolve));

test("what is wanted for less than the pause is not fetched", t => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const found = fetching();
  const newest = new Newest(found.fetch, 80);
  newest.want(1);
  t.mock.timers.tick(79);
  newest.want(2);
  t.mock.timers.tick(79);
  assert.deepEqual(found.fetched, []);
  t.mock.timers.tick(1);
  assert.deepEqual(found.fetched, [2]);
});

test("what is not wanted any more is not fetched", t => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const found = fetching();
  const newest = new Newest(found.fetch, 80);
  newest.want(0);
  newest.want(null);
  t.mock.timers.tick(200);
  assert.deepEqual(found.fetched, []);
});

test("one is under way at a time, and the newest is next", async t => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const found = fetching();
  const newest = new Newest(found.fetch, 80);
  newest.want("a");
  t.mock.timers.tick(80);
  newest.want("b");
  newest.want("c");
  t.mock.timers.tick(500);
  assert.deepEqual(found.fetched, ["a"]);
  found.end();
  await settled();
  assert.deepEqual(found.fetched, ["a", "c"]);
  newest.want("d");
  newest.want(null);
  found.end();
  await settled();
  assert.deepEqual(found.fetched, ["a", "c"], "nothing is wanted then");
  newest.want("e");
  t.mock.timers.tick(80);
  assert.deepEqual(found.fetched, ["a", "c", "e"]);
});
