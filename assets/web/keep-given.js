// A picture was given, however it came; kept-uploads.js keeps it.
picture => { window.camvizKeep?.(picture).catch(() => {}); }
