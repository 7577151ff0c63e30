// Logs in, and opens the wall in a browser that has seen nothing of it.
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(path.join(process.env.CONSOLE_TOOLS, 'node_modules/'));
const { chromium } = require('playwright-core');
const url = process.env.CONSOLE_URL;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-dev-shm-usage'],
});
const first = await (await browser.newContext()).newPage();
await first.goto(`${url}/`);
await first.getByLabel('Token').fill(process.env.CONSOLE_TOKEN);
await first.getByRole('button', { name: 'Log in' }).click();
await first.getByRole('heading', { name: 'Library' }).waitFor();
const storageState = await first.context().storageState();

// The one thing that it keeps is the session.
const context = await browser.newContext({ storageState, viewport: { width: 1280, height: 800 } });
await context.addInitScript(() => {
  window.shift = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) window.shift += entry.value;
  }).observe({ type: 'layout-shift', buffered: true });
});
const page = await context.newPage();
let posters = 0;
page.on('response', (response) => { if (new URL(response.url()).pathname.startsWith('/p/')) posters += 1; });
await page.goto(`${url}/`, { waitUntil: 'networkidle' });
const seen = await page.evaluate(() => {
  const entries = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
  const own = entries.filter((entry) => !new URL(entry.name).pathname.startsWith('/p/'));
  return {
    paint: performance.getEntriesByName('first-contentful-paint')[0].startTime,
    page: own.reduce((sum, entry) => sum + entry.transferSize, 0),
    shift: window.shift,
  };
});
await browser.close();
console.log(JSON.stringify({ ...seen, posters }));
