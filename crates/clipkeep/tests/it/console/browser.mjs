// What the console's scripts share: a real Chromium, pages that must be sound in
// every way that can be measured, and words for what is not.
import { createRequire } from 'node:module';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const require = createRequire(path.join(process.env.CONSOLE_TOOLS, 'node_modules/'));
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

export const wrong = [];
export function check(holds, what) {
  if (!holds) wrong.push(what);
}

/** A browser that is closed whatever happens, and says what was wrong. */
export async function drive(steps) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--autoplay-policy=no-user-gesture-required'],
  });
  try {
    await steps(browser);
  } catch (error) {
    wrong.push(`it ended early: ${error.stack}`);
  } finally {
    await browser.close();
  }
  console.log(JSON.stringify({ wrong }));
}

/** A window in which nothing may go wrong unseen. */
export async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
    });
  });
  const page = await context.newPage();
  page.setDefaultTimeout(300_000);
  page.on('pageerror', (error) => wrong.push(`${page.url()}: ${error}`));
  page.on('console', (message) => {
    // What a refusal's status makes Chromium say is no fault of the page.
    if (message.type() === 'error' && !/status of (403|404|410|429|503)/.test(message.text())) {
      wrong.push(`${page.url()}: ${message.text()}`);
    }
  });
  const host = new URL(process.env.CONSOLE_URL).host;
  page.on('request', (request) => {
    const to = new URL(request.url());
    if (to.protocol.startsWith('http') && to.host !== host) wrong.push(`${page.url()} asks ${to.host}`);
  });
  return page;
}

/** No violation that axe finds, nothing wider than the window, light and dark, from a phone to a wide screen. */
export async function sound(page, name) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    for (const width of [360, 1280, 1920]) {
      await page.setViewportSize({ width, height: 800 });
      const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      check(wider <= 0, `${name} is ${wider} px too wide at ${width} px`);
      if (width !== 1280) await shot(page, `${name}-${colorScheme}-${width}`);
    }
    await page.setViewportSize({ width: 1280, height: 800 });
    // A strict policy forbids eval: axe goes in from outside the page.
    const session = await page.context().newCDPSession(page);
    await session.send('Runtime.evaluate', { expression: axe });
    await session.detach();
    const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
    for (const { id, nodes } of found.violations) {
      wrong.push(`${name}, ${colorScheme}: ${id}: ${nodes.map((node) => node.html).slice(0, 3).join(' | ')}`);
    }
  }
  await page.emulateMedia({ colorScheme: 'light', reducedMotion: null });
}

export async function shot(page, name) {
  if (!process.env.CONSOLE_SHOTS) return;
  mkdirSync(process.env.CONSOLE_SHOTS, { recursive: true });
  await page.screenshot({ path: path.join(process.env.CONSOLE_SHOTS, `${name}.png`), animations: 'disabled' });
}

export async function logIn(page, token) {
  await page.goto(`${process.env.CONSOLE_URL}/`);
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('heading', { name: 'Library' }).waitFor();
}
