// The text of the backbone's menu is selected, so that typing replaces it.
() => { document.querySelector("#backbone input")?.select(); }
