// Before anything is drawn, so that nothing flashes: the theme that was chosen last time.
(() => {
  const chosen = localStorage.getItem("esmkit.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
