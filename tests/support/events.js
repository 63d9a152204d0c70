// Runs before the scripts of a page: window.gradioEvents knows the events that were sent and those
// that were answered, each by its id, and how many streams of answers are open. An answer may come
// before the receipt of its event.
(() => {
  const events = {sent: new Set(), answered: new Set(), streams: new Set()}
  window.gradioEvents = events

  const watched = response => {
    events.streams.add(response)
    let rest = ""
    const note = new TransformStream({
      transform(text, controller) {
        const lines = (rest + text).split("\n")
        rest = lines.pop()
        for (const line of lines) {
          if (line.includes('"process_completed"'))
            events.answered.add(JSON.parse(line.slice("data:".length)).event_id)
          if (line.includes('"close_stream"')) events.streams.delete(response)
        }
        controller.enqueue(text)
      },
      flush() { events.streams.delete(response) },
    })
    const body = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(note)
    return new Response(body.pipeThrough(new TextEncoderStream()), response)
  }

  const fetch = window.fetch
  window.fetch = async (...given) => {
    const response = await fetch(...given)
    const url = String(given[0].url ?? given[0])
    if (url.includes("/queue/data")) return watched(response)
    if (url.includes("/queue/join"))
      response.clone().json().then(receipt => events.sent.add(receipt.event_id), () => {})
    return response
  }
})()
