/* The administration's pickers send what is typed in the body of a POST: no name of a patient in an address or a log. */
(() => {
  "use strict";
  const $ = window.django && window.django.jQuery;
  if (!$) return;
  const cookie = (name) => {
    const found = document.cookie.split("; ").find((part) => part.startsWith(name + "="));
    return found ? decodeURIComponent(found.slice(name.length + 1)) : "";
  };
  $.ajaxPrefilter((options) => {
    if (!/\/autocomplete\/$/.test(options.url.split("?")[0])) return;
    options.type = "POST";
    options.headers = {
      ...options.headers,
      "X-CSRFToken": cookie(document.body.dataset.csrfCookie) || document.body.dataset.csrf,
    };
  });
})();
