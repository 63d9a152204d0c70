// Saves the file that the hidden download button holds.
file => { if (file) document.querySelector("#zip")?.click(); }
