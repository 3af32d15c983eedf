// What time it is, for everything on the page at once.

export const now = $state({ at: Date.now() });
setInterval(() => {
  if (document.visibilityState === 'visible') now.at = Date.now();
}, 1000);
