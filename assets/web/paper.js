// The page is printed in its light colours: browsers leave out the dark ground, and light lines
// cannot be seen on white paper.
{
  let wasDark = false;
  const begin = () => {
    wasDark ||= document.body.classList.contains("dark");
    document.body.classList.remove("dark");
  };
  const end = () => {
    if (wasDark) document.body.classList.add("dark");
    wasDark = false;
  };
  addEventListener("beforeprint", begin);
  addEventListener("afterprint", end);
  matchMedia("print").addEventListener("change", ({ matches }) => matches ? begin() : end());
}
