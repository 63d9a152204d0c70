// What gradio gives a script of gr.HTML(js_on_load=...), and what the viewer's component adds.

import type { Classes } from "./classes/class-list.js";
import type { RunValue } from "./collection/sheet.js";
import type { Painting } from "./cover/cover-canvas.js";
import type { Curves } from "./curves/plot.js";
import type { Marking } from "./guess/guess-canvas.js";
import type { Configuration, Payload } from "./viewer/schema.js";

declare global {
  /** The component's own part of the page. */
  const element: HTMLElement;
  const props: { value: Payload | Classes | Curves | Marking | Painting | RunValue | null };
  /** Tell the server of an event. */
  const trigger: {
    (event: "select", data: { index: number; value: unknown; selected: boolean }): void;
    (event: "input", data: unknown): void;
  };
  /** Call back whenever a property has a new value. */
  const watch: (name: "value", changed: () => void) => void;
  interface Window {
    /** Opens a view of the page by its name (views.js). */
    camvizOpenView?: (name: string) => void;
  }
  /** What the page's head holds beside the element's script. */
  const mapViewerConfiguration: Configuration;
}
