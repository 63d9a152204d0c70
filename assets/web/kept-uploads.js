// Uploads that this browser keeps for the next visit, in IndexedDB; nothing of it is sent. A switch
// turns that off and deletes what is kept. Behind a reload they are offered again: a click uploads
// one anew, as the button "Add pictures" would.
const MOST = 8;
const OFF = "camviz-keeps-nothing";
const box = element.querySelector("input"), list = element.querySelector("ul");
const offer = element.querySelector(".cv-kept-offer");
const inStore = (mode, act) => new Promise((resolve, reject) => {
  const opening = indexedDB.open("camviz", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("uploads", {keyPath: "key"});
  opening.onerror = () => reject(opening.error);
  opening.onsuccess = () => {
    const work = opening.result.transaction("uploads", mode);
    const request = act(work.objectStore("uploads"));
    work.oncomplete = () => { opening.result.close(); resolve(request?.result); };
    work.onerror = () => { opening.result.close(); reject(work.error); };
  };
});
const newestFirst = async () =>
  (await inStore("readonly", store => store.getAll())).sort((one, other) => other.time - one.time);
let taken = -Infinity; // when files were last kept as they were given
const keep = async files => {
  const pictures = files.filter(file => file.type.startsWith("image/"));
  if (!box.checked || !pictures.length) return;
  taken = performance.now();
  const time = Date.now();
  await inStore("readwrite", store => {
    for (const file of pictures.slice(0, MOST))
      store.put({key: `${file.name} ${file.size}`, time, file});
  });
  const old = (await newestFirst()).slice(MOST);
  if (!old.length) return;
  await inStore("readwrite", store => { old.forEach(one => store.delete(one.key)); });
};
const giveAgain = file => {
  const input = document.querySelector("#ask-picture input[type=file][multiple]");
  const given = new DataTransfer();
  given.items.add(file);
  input.files = given.files;
  input.dispatchEvent(new Event("change", {bubbles: true}));
};
const show = kept => {
  offer.hidden = !kept.length;
  offer.open = new URLSearchParams(location.search).get("example") === "upload";
  offer.querySelector("summary").textContent = `${kept.length} kept`;
  list.replaceChildren(...kept.map(({file}) => {
    const [item, button, image] = ["li", "button", "img"].map(name => document.createElement(name));
    image.src = URL.createObjectURL(file);
    image.alt = "";
    button.type = "button";
    button.title = `Upload ${file.name} again`;
    button.setAttribute("aria-label", button.title);
    button.addEventListener("click", () => {
      offer.open = kept.length > 1;
      giveAgain(file);
    });
    button.append(image);
    item.append(button);
    return item;
  }));
};
const failed = () => { element.querySelector(".cv-kept").hidden = true; }; // a private window, say

box.checked = localStorage.getItem(OFF) === null;
newestFirst().then(show, failed);
box.addEventListener("change", () => {
  if (box.checked) {
    localStorage.removeItem(OFF);
    return;
  }
  localStorage.setItem(OFF, "1");
  inStore("readwrite", store => store.clear()).then(() => show([]), failed);
});
// Files come by a dialog, by dropping or by pasting.
const inPicture = event => event.target.closest?.("#ask-picture");
document.addEventListener("change", event => {
  const input = event.target;
  if (inPicture(event) && input.type === "file") keep([...input.files]).catch(failed);
}, true);
document.addEventListener("drop", event => {
  if (inPicture(event)) keep([...event.dataTransfer.files]).catch(failed);
}, true);
document.addEventListener("paste", event => {
  if (inPicture(event)) keep([...event.clipboardData.files]).catch(failed);
}, true);
// A camera and gradio's own button for pasting give no file: what they uploaded is fetched.
window.camvizKeep = async picture => {
  if (!picture?.url || !box.checked || performance.now() - taken < 10_000) return;
  const answer = await fetch(picture.url);
  const content = await answer.blob();
  const name = picture.orig_name || "picture";
  await keep([new File([content], name, {type: picture.mime_type || content.type})]);
};
