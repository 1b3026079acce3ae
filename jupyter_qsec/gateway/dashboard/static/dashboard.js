// The pages work without this. With it, a list that is in view shows what is new, every half minute, as long as nobody
// is in the middle of something: a form that is open or a field with the keyboard.
'use strict';

const SECONDS = 30;

function busy() {
  const active = document.activeElement;
  const typing = active !== null && active.matches('input, select, textarea, summary, button');
  const chosen = String(document.getSelection() ?? '') !== '';
  return typing || chosen || document.hidden || document.querySelector('details[open]') !== null;
}

if (document.querySelector('main table, main .tiles') !== null) {
  // A sent form's notice is not shown again.
  const address = new URL(location.href);
  address.searchParams.delete('done');
  setInterval(() => {
    if (!busy()) {
      location.replace(address);
    }
  }, SECONDS * 1000);
}
