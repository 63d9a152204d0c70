// What gradio gives a script of gr.HTML(js_on_load=...), and what the viewer's component adds.

import type { Configuration, Payload } from "./viewer/schema.js";

declare global {
  /** The component's own part of the page. */
  const element: HTMLElement;
  const props: { value: Payload | null };
  /** Tell the server of an event. */
  const trigger: (
    event: "select",
    data: { index: number; value: unknown; selected: boolean },
  ) => void;
  /** Call back whenever a property has a new value. */
  const watch: (name: "value", changed: () => void) => void;
  /** What the page's head holds beside the element's script. */
  const mapViewerConfiguration: Configuration;
}
