// @ts-check

// Light, dark, or as the system is: the one thing that a browser keeps, so that a page has its colours before it is drawn.

const KEY = "alm-theme";

/** @param {string} theme */
const wear = (theme) => (document.documentElement.style.colorScheme = theme === "system" ? "" : theme);

/** The theme that was chosen: `system`, `light` or `dark`. */
export const theme = () => {
  const kept = localStorage.getItem(KEY) ?? "";
  return ["light", "dark"].includes(kept) ? kept : "system";
};

/** @param {string} chosen */
export function setTheme(chosen) {
  localStorage.setItem(KEY, chosen);
  wear(chosen);
}

wear(theme());
// Another tab may choose.
addEventListener("storage", ({ key }) => key === KEY && wear(theme()));
