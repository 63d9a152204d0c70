// Downloads the file that a new link holds. As a link, and not by gr.DownloadButton, which forgets
// a file that does not come with the last update.
watch("value", () => element.querySelector("a")?.click());
