// Before the first paint: the remembered theme, or the system's.
(function () {
  var theme = null;
  try { theme = localStorage.getItem("redoubt.theme"); } catch (e) { /* storage may be off: follow the system */ }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
