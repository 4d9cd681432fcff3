(() => {
const every = 10000, live = () => document.querySelector("main[data-live]");
let touched = false, said = live()?.dataset.state;
document.addEventListener("input", () => touched = true);
async function look() {
  const main = live();
  if (!main) return;
  const form = main.querySelector("form");
  if (document.hidden || touched || form && form.contains(document.activeElement)) return setTimeout(look, every);
  try {
    const answer = await fetch(location.href, {cache: "no-store", credentials: "omit"});
    if (answer.status == 403) return;
    if (answer.ok) swap(main, new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch { }
  setTimeout(look, every);
}
function swap(main, page) {
  const next = page.querySelector("main");
  if (!next || touched || main.contains(document.activeElement) && document.activeElement.closest("form")) return;
  const focus = document.activeElement?.id;
  main.querySelectorAll("details[open]").forEach((one) => {
    const same = one.id && next.querySelector("#" + one.id);
    if (same) same.open = true;
  });
  main.replaceWith(next);
  if (focus) document.getElementById(focus)?.focus({preventScroll: true});
  document.title = page.title;
  if (next.dataset.state != said) {
    said = next.dataset.state;
    document.getElementById("said").textContent = said || "";
  }
}
if (said !== undefined) setTimeout(look, every);
})();
