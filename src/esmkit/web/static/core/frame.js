// What every page has: menu on small windows, theme, logging out.
import { post } from "./api.js";
import { notify, one } from "./dom.js";

const root = document.documentElement;
const button = one("#theme");
const themes = ["auto", "light", "dark"];

function showTheme(theme) {
  root.dataset.theme = theme;
  button.textContent = { auto: "Theme: auto", light: "Theme: light", dark: "Theme: dark" }[theme];
}

showTheme(root.dataset.theme);
button.addEventListener("click", () => {
  const next = themes[(themes.indexOf(root.dataset.theme) + 1) % themes.length];
  localStorage.setItem("esmkit.theme", next);
  showTheme(next);
  document.dispatchEvent(new CustomEvent("themechange"));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  document.dispatchEvent(new CustomEvent("themechange"));
});

const menu = one(".menu-button");
menu.addEventListener("click", () => {
  const isOpen = one("#menu").classList.toggle("open");
  menu.setAttribute("aria-expanded", String(isOpen));
});

document.querySelector("#logout")?.addEventListener("click", async () => {
  try {
    await post("/web/logout", {});
    location.assign("/");
  } catch (error) {
    notify(error.message, "bad");
  }
});
