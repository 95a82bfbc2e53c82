"use strict";

// In the head, so that the page is never drawn in the other theme first.
(() => {
  const KEY = "codecfake-theme";
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");

  // Browsers may refuse storage to pages from disk.
  const stored = () => {
    try { return localStorage.getItem(KEY); } catch { return null; }
  };
  const store = (theme) => {
    try { localStorage.setItem(KEY, theme); } catch { /* the choice lasts for this page */ }
  };

  const current = () => root.dataset.theme || (system.matches ? "dark" : "light");
  const other = () => (current() === "dark" ? "light" : "dark");

  const chosen = stored();
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const name = () => { button.textContent = other() === "dark" ? "Dark" : "Light"; };
    button.setAttribute("title", "Switch between the light and the dark theme");
    button.hidden = false;
    name();
    system.addEventListener("change", name);
    button.addEventListener("click", () => {
      root.dataset.theme = other();
      store(root.dataset.theme);
      name();
    });
  });
})();
