// The console's one script. Everything but live progress, search as you type and
// endless scrolling works without it.
'use strict';

// Times: in the reader's zone, UTC in the title.
function localise(root) {
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
  for (const element of root.querySelectorAll('time[datetime]')) {
    const at = new Date(element.dateTime);
    if (!Number.isNaN(at.getTime())) element.textContent = format.format(at);
  }
}

// Placeholders: a thumbhash (https://evanw.github.io/thumbhash/) as a few pixels.
function placeholder(text) {
  const hash = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const head = hash[0] | (hash[1] << 8) | (hash[2] << 16);
  const tail = hash[3] | (hash[4] << 8);
  const hasAlpha = head >> 23;
  const isLandscape = tail >> 15;
  const lx = Math.max(3, isLandscape ? (hasAlpha ? 5 : 7) : tail & 7);
  const ly = Math.max(3, isLandscape ? tail & 7 : hasAlpha ? 5 : 7);
  let at = hasAlpha ? 6 : 5;
  let half = false;
  const channel = (nx, ny, scale) => {
    const waves = [];
    for (let cy = 0; cy < ny; cy++) {
      for (let cx = cy ? 0 : 1; cx * ny < nx * (ny - cy); cx++) {
        const nibble = half ? hash[at++] >> 4 : hash[at] & 15;
        half = !half;
        waves.push([cx, cy, (nibble / 7.5 - 1) * scale]);
      }
    }
    return waves;
  };
  const l = [(head & 63) / 63, channel(lx, ly, ((head >> 18) & 31) / 31)];
  const p = [((head >> 6) & 63) / 31.5 - 1, channel(3, 3, (((tail >> 3) & 63) / 63) * 1.25)];
  const q = [((head >> 12) & 63) / 31.5 - 1, channel(3, 3, (((tail >> 9) & 63) / 63) * 1.25)];
  const ratio = lx / ly;
  const [width, height] = ratio > 1 ? [32, Math.round(32 / ratio)] : [Math.round(32 * ratio), 32];
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext('2d');
  const image = context.createImageData(width, height);
  const value = ([mean, waves], x, y) =>
    waves.reduce(
      (sum, [cx, cy, weight]) =>
        sum +
        2 * weight * Math.cos((Math.PI / width) * (x + 0.5) * cx) * Math.cos((Math.PI / height) * (y + 0.5) * cy),
      mean,
    );
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [light, yellow, red] = [value(l, x, y), value(p, x, y), value(q, x, y)];
      const b = light - (2 / 3) * yellow;
      const r = (3 * light - b + red) / 2;
      image.data.set([r * 255, (r - red) * 255, b * 255, 255], (y * width + x) * 4);
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

function dress(root) {
  localise(root);
  for (const still of root.querySelectorAll('.still[data-thumbhash]')) {
    const image = still.querySelector('img');
    if (!image || image.complete || still.querySelector('canvas')) continue;
    try {
      const canvas = placeholder(still.dataset.thumbhash);
      still.prepend(canvas);
      image.addEventListener('load', () => canvas.remove(), { once: true });
    } catch {
      // A placeholder that cannot be read is none.
    }
  }
  for (const button of root.querySelectorAll('button.copy')) button.hidden = !navigator.clipboard;
}

// Hover play: the clip itself, without sound, as long as somebody points at it.
function hover(still, on) {
  const shown = still.querySelector('video');
  if (!on) {
    if (shown) shown.remove();
    return;
  }
  if (shown || matchMedia('(prefers-reduced-motion: reduce)').matches) return;
  const video = document.createElement('video');
  Object.assign(video, { src: still.dataset.video, muted: true, loop: true, playsInline: true });
  video.setAttribute('aria-hidden', 'true');
  still.append(video);
  video.play().catch(() => video.remove());
}
for (const [event, on] of [
  ['pointerover', true],
  ['pointerout', false],
  ['focusin', true],
  ['focusout', false],
]) {
  document.addEventListener(event, (e) => {
    const tile = e.target instanceof Element && e.target.closest('.tile');
    const still = tile && tile.querySelector('.still[data-video]');
    if (still && !(e.relatedTarget instanceof Node && tile.contains(e.relatedTarget))) hover(still, on);
  });
}

document.addEventListener('click', (e) => {
  const close = e.target instanceof Element && e.target.closest('[data-close]');
  if (!close || e.button || e.ctrlKey || e.metaKey || e.shiftKey) return;
  e.preventDefault();
  leave(close);
});

document.addEventListener('click', async (e) => {
  const button = e.target instanceof Element && e.target.closest('button.copy');
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  button.textContent = 'Copied';
  setTimeout(() => (button.textContent = 'Copy'), 1500);
});

// Search as you type: the wall alone is asked for again, and the address follows.
const search = document.getElementById('search');
const wall = document.getElementById('wall');
let asked = 0;
async function fetched(address) {
  const answer = await fetch(`${address}${address.includes('?') ? '&' : '?'}partial=1`, { redirect: 'error' });
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.text();
}
async function look() {
  const mine = ++asked;
  const fields = [...new FormData(search)].filter(([, value]) => value);
  const query = new URLSearchParams(fields).toString();
  const address = query ? `/?${query}` : '/';
  let text;
  try {
    text = await fetched(address);
  } catch {
    search.submit();
    return;
  }
  if (mine !== asked) return;
  wall.innerHTML = text;
  history.replaceState(null, '', address);
  dress(wall);
  endless();
}
if (search && wall) {
  let soon;
  search.addEventListener('input', () => {
    clearTimeout(soon);
    soon = setTimeout(look, 200);
  });
  search.addEventListener('submit', (e) => {
    e.preventDefault();
    look();
  });
}

// Endless: the next page is added to the wall as its link comes into sight.
function endless() {
  const more = wall && wall.querySelector('.more a');
  if (!more || !('IntersectionObserver' in window)) return;
  const observer = new IntersectionObserver(
    async (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      if (await lengthen()) endless();
    },
    { rootMargin: '800px' },
  );
  observer.observe(more);
}

// Adds the next page to the wall, if there is one.
async function lengthen() {
  const more = wall.querySelector('.more');
  if (!more) return false;
  const mine = asked;
  let text;
  try {
    text = await fetched(more.querySelector('a').getAttribute('href'));
  } catch {
    return false;
  }
  if (mine !== asked) return false;
  // Somebody else was quicker.
  if (!more.isConnected) return true;
  const page = document.createElement('template');
  page.innerHTML = text;
  dress(page.content);
  more.remove();
  wall.querySelector('.wall').append(...page.content.querySelectorAll('.wall > li'));
  const next = page.content.querySelector('.more');
  if (next) wall.append(next);
  return true;
}

// Who comes back to the wall finds it as it was: as long, and at the same clip.
const tileLinks = () => [...document.querySelectorAll('.wall .tile > a')];
if (wall) {
  const kept = 'wall';
  addEventListener('pagehide', () => {
    const at = document.activeElement && document.activeElement.getAttribute('href');
    sessionStorage.setItem(kept, JSON.stringify([location.href, tileLinks().length, scrollY, at]));
  });
  const [entry] = performance.getEntriesByType('navigation');
  const [address, count, top, at] = JSON.parse(sessionStorage.getItem(kept) || '[]');
  if (entry && entry.type === 'back_forward' && address === location.href) {
    (async () => {
      while (tileLinks().length < count && (await lengthen()));
      endless();
      const tile = tileLinks().find((link) => link.getAttribute('href') === at);
      if (tile) tile.focus({ preventScroll: true });
      scrollTo(0, top);
    })();
  }
}

// Back to the wall that led here, if one did.
function leave(close) {
  const from = document.referrer && new URL(document.referrer);
  if (from && from.origin === location.origin && from.pathname === '/') history.back();
  else location.href = close.href;
}

// Live progress of what is being filled.
const live = document.getElementById('live');
if (live && 'EventSource' in window) {
  const stream = new EventSource(live.dataset.live);
  stream.addEventListener('message', (e) => {
    live.innerHTML = e.data;
    dress(live);
  });
}

// Keyboard: / searches, arrows walk the wall, Esc closes.
function walk(step) {
  const tiles = tileLinks();
  if (!tiles.length) return false;
  const here = tiles.indexOf(document.activeElement);
  const columns = tiles.filter((tile) => tile.offsetTop === tiles[0].offsetTop).length || 1;
  const to = here < 0 ? 0 : here + { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[step];
  if (!tiles[to]) return false;
  tiles[to].focus();
  return true;
}
document.addEventListener('keydown', (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const typing = e.target instanceof Element && e.target.closest('input, select, textarea, video, audio, pre');
  if (e.key === 'Escape') {
    const close = document.querySelector('[data-close]');
    if (typing) e.target.blur();
    else if (close) leave(close);
  } else if (e.key === '/' && !typing) {
    const field = document.getElementById('q');
    e.preventDefault();
    if (field) field.focus();
    else location.href = '/';
  } else if (e.key.startsWith('Arrow') && !typing && walk(e.key)) {
    e.preventDefault();
  }
});

dress(document);
endless();
