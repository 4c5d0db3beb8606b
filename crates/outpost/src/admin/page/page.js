'use strict';
{
  const EVERY_MS = 2000;
  const live = document.getElementById('live');
  const button = document.getElementById('pause');
  let paused = false;
  let timer;

  // Said only when it changes: it is read out.
  const say = (text) => {
    if (live.textContent !== text) live.textContent = text;
  };

  // Makes `old` like `fresh` and touches nothing else, so that focus, selection and what is unfolded stay.
  const morph = (old, fresh) => {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
      old.replaceWith(document.importNode(fresh, true));
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    for (const { name } of [...old.attributes]) {
      if (name !== 'open' && !fresh.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    const before = [...old.childNodes];
    const after = [...fresh.childNodes];
    for (const [n, child] of after.entries()) {
      if (n < before.length) morph(before[n], child);
      else old.append(document.importNode(child, true));
    }
    for (const child of before.slice(after.length)) child.remove();
  };

  const look = async () => {
    try {
      const answer = await fetch(location.pathname, {
        headers: { Accept: 'text/html' },
        cache: 'no-store',
        signal: AbortSignal.timeout(10000),
      });
      if (!answer.ok) throw new Error(answer.statusText);
      const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
      if (paused) return;
      morph(document.querySelector('main'), fresh.querySelector('main'));
      document.title = fresh.title;
      document.body.classList.remove('stale');
      say('Live.');
    } catch {
      document.body.classList.add('stale');
      say('No answer from Outpost. What is shown is old.');
    }
  };

  const tick = async () => {
    if (!document.hidden) await look();
    if (!paused) timer = setTimeout(tick, EVERY_MS);
  };

  button.addEventListener('click', () => {
    paused = !paused;
    clearTimeout(timer);
    button.textContent = paused ? 'Go on' : 'Pause';
    if (paused) say('Paused.');
    else tick();
  });
  button.hidden = false;
  tick();
}
