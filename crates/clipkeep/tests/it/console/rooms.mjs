// An admin's day in the console: every room, as a person would use it.
import { check, drive, logIn, open, shot, sound } from './browser.mjs';

const base = process.env.CONSOLE_URL;
const told = JSON.parse(process.env.CONSOLE_TOLD);

await drive(async (browser) => {
  const page = await open(browser);

  // Logging in: a wrong token first; then back to where one wanted to go.
  await page.goto(`${base}/console/health`);
  await sound(page, 'login');
  await page.getByLabel('Token').fill('wrong');
  await page.keyboard.press('Enter');
  await page.getByRole('alert').waitFor();
  check(page.url().endsWith('/login'), `a wrong token led to ${page.url()}`);
  await page.getByLabel('Token').fill(told.token);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Health' }).waitFor();
  await sound(page, 'health');

  // The wall: words are looked for as they are typed, and the address can be sent to somebody.
  await page.goto(`${base}/`);
  await page.locator('.tile').first().waitFor();
  await sound(page, 'library');
  await page.keyboard.press('/');
  check(await page.evaluate(() => document.activeElement.id) === 'q', '/ does not lead into the search');
  await page.keyboard.type('violinist');
  await page.waitForFunction(() => document.querySelectorAll('.tile').length === 1);
  check(page.url() === `${base}/?q=violinist`, `what was typed stands not in ${page.url()}`);
  await page.reload();
  check((await page.locator('.tile').count()) === 1, 'the address alone does not find the same');
  await page.locator('#q').fill(told.key);
  await page.locator(`.tile a[href$="${told.key}"]`).waitFor();
  await page.locator('#q').fill('');
  await page.waitForFunction((many) => document.querySelectorAll('.tile').length === many, told.page);

  // Endless: the older ones come by themselves.
  for (let n = 0; n < 20 && (await page.locator('.tile').count()) < told.clips; n++) {
    await page.mouse.wheel(0, 20_000);
    await page.waitForTimeout(200);
  }
  check((await page.locator('.tile').count()) === told.clips, `${await page.locator('.tile').count()} tiles of ${told.clips}`);

  // Who looks at a clip and closes it finds the wall as it was.
  const last = page.locator('.tile > a').last();
  const href = await last.getAttribute('href');
  await last.click();
  await page.waitForURL(base + href);
  await page.getByRole('heading', { name: 'Row', exact: true }).waitFor();
  await page.keyboard.press('Escape');
  await page.waitForURL(`${base}/`);
  await page.waitForFunction((many) => document.querySelectorAll('.tile').length === many, told.clips);
  await page.waitForFunction((href) => document.activeElement.getAttribute('href') === href, href);
  check((await page.evaluate(() => scrollY)) > 0, 'the wall is at its top again');

  // Arrows walk the wall; what one points at plays.
  await page.goto(`${base}/?state=stored`);
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  const at = await page.evaluate(() => [...document.querySelectorAll('.tile > a')].indexOf(document.activeElement));
  check(at === 1, `two steps to the right led to tile ${at}`);
  await page.goto(`${base}/?q=violinist`);
  const playing = page.locator('.tile').filter({ hasText: 'violinist' });
  await playing.hover();
  await playing.locator('video').waitFor();
  await page.mouse.move(0, 0);
  await playing.locator('video').waitFor({ state: 'detached' });

  // A clip: it plays, and everything is there.
  await playing.locator('a').click();
  await page.getByRole('heading', { name: 'violinist' }).waitFor();
  await sound(page, 'clip');
  await page.locator('video').evaluate((video) => video.play());
  await page.waitForFunction(() => document.querySelector('video').currentTime > 0);
  for (const heading of ['Link', 'Row', 'Story', 'Usage', 'Cost this month']) {
    await page.getByRole('heading', { name: heading, exact: true }).waitFor();
  }
  check((await page.locator('dl').first().innerText()).includes(told.sha256), 'no checksum');

  // A link to a page that plays it, which works for whoever has it; until it is revoked.
  await page.getByLabel('Leads to').selectOption('page');
  await page.getByLabel('Saved as').fill('At the concert.mp4');
  await page.getByLabel('Holds for').fill('999d');
  await page.getByRole('button', { name: 'Make a link' }).click();
  await page.getByText('Holds for: more than nothing').waitFor();
  check((await page.getByLabel('Leads to').inputValue()) === 'page', 'the form forgets where a link leads');
  check((await page.getByLabel('Holds for').inputValue()) === '999d', 'the form forgets how long a link holds');
  await page.getByLabel('Holds for').fill('1h');
  await page.getByRole('button', { name: 'Make a link' }).click();
  const link = await page.getByRole('textbox', { name: 'The link' }).inputValue();
  check(link.startsWith(`${base}/w/`), link);
  const stranger = await open(browser);
  await stranger.goto(link);
  await stranger.locator('video').evaluate((video) => {
    video.muted = true;
    return video.play();
  });
  await stranger.waitForFunction(() => document.querySelector('video').currentTime > 0);
  check((await stranger.title()) === 'At the concert', await stranger.title());
  await sound(stranger, 'watch');
  await page.getByText('Revoke all links…').click();
  await page.getByRole('button', { name: 'Revoke all links to it' }).click();
  await page.getByRole('status').waitFor();
  await stranger.goto(link);
  await stranger.getByRole('heading', { name: 'Forbidden' }).waitFor();
  await sound(stranger, 'watch-refused');

  // Esc closes the clip.
  await page.keyboard.press('Escape');
  await page.waitForURL(`${base}/`);

  // The queue: progress goes on without a reload; what failed is tried again.
  await page.goto(`${base}/console/queue`);
  await sound(page, 'queue');
  const value = () => page.locator('#live progress').first().evaluate((bar) => bar.value);
  const before = await value();
  await page.waitForFunction((before) => document.querySelector('#live progress')?.value > before, before);
  const failed = page.getByRole('row').filter({ hasText: told.failed });
  await failed.getByRole('button').click();
  await page.getByRole('status').waitFor();

  // Events: what an endpoint did not take goes out again.
  await page.goto(`${base}/console/events`);
  await page.getByRole('button', { name: 'Replay all parked' }).waitFor();
  await sound(page, 'events');
  await page.getByRole('button', { name: 'Replay all parked' }).click();
  await page.getByText('go out once more').waitFor();

  // Usage and costs: charts, and the same in tables.
  await page.goto(`${base}/console/usage?stack=model`);
  await page.locator('.chart rect').first().waitFor();
  await sound(page, 'usage');
  await page.locator('select[name=by]').selectOption('clip');
  await page.getByRole('button', { name: 'Show' }).click();
  await page.getByRole('rowheader', { name: told.key }).waitFor();
  await page.goto(`${base}/console/costs`);
  for (const list of ['aws-s3-standard', 'cloudflare-r2']) await page.getByRole('rowheader', { name: list }).waitFor();
  check(await page.locator('li.over').count() === 1, 'a budget that is used up does not stand out');
  await sound(page, 'costs');
  await page.goto(`${base}/console/usage?from=nonsense`);
  await page.getByRole('alert').waitFor();

  // A token for a tenant: shown once; revoked.
  await page.goto(`${base}/console/tokens`);
  await sound(page, 'tokens');
  await page.getByLabel('What for').fill('console test');
  await page.getByLabel('Whose rows it sees').fill('beta');
  await page.getByRole('button', { name: 'Make a token' }).click();
  const token = await page.getByRole('textbox', { name: 'The token' }).inputValue();
  const tenant = await open(browser);
  await logIn(tenant, token);
  const texts = await tenant.locator('.tile').allInnerTexts();
  check(texts.length === told.beta, `a tenant sees ${texts.length} clips of its ${told.beta}`);
  for (const room of ['Tokens', 'Health']) check((await tenant.getByRole('link', { name: room }).count()) === 0, `a tenant is shown ${room}`);
  await sound(tenant, 'library-of-a-tenant');
  await page.goto(`${base}/console/tokens`);
  const row = page.getByRole('row').filter({ hasText: 'console test' });
  await row.getByText('Revoke…').click();
  await row.getByRole('button').click();
  await page.getByRole('status').waitFor();
  await tenant.waitForTimeout(2500);
  await tenant.goto(`${base}/`);
  await tenant.getByRole('heading', { name: 'Log in' }).waitFor();

  // Deleting asks back.
  await page.goto(`${base}/console/clips/${told.doomed}`);
  await page.getByText('Delete…').click();
  const confirm = page.getByLabel('to confirm');
  await confirm.fill('something else');
  await page.getByRole('button', { name: 'Delete it for good' }).click();
  await page.getByRole('alert').waitFor();
  await page.getByText('Delete…').click();
  await page.getByLabel('to confirm').fill(told.doomed);
  await page.getByRole('button', { name: 'Delete it for good' }).click();
  await page.getByRole('status').waitFor();
  check((await page.locator('h1 .state').innerText()) === 'deleted', 'it is not deleted');

  // The keyboard alone reaches everything: from the top, tab by tab, to each link and field.
  await page.goto(`${base}/console/clips/${told.key}`);
  const all = await page.evaluate(() => {
    const shown = (element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest('details:not([open]) > :not(summary)');
    return [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary')].filter(shown).length;
  });
  await page.locator('body').press('Tab');
  const reached = new Set();
  for (let n = 0; n < all * 2 + 40; n++) {
    reached.add(await page.evaluate(() => {
      const element = document.activeElement;
      const all = [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary')];
      return all.indexOf(element);
    }));
    await page.keyboard.press('Tab');
  }
  reached.delete(-1);
  check(reached.size >= all, `the keyboard reaches ${reached.size} of ${all}`);

  // What others wrote ran nowhere.
  for (const path of ['/', '/console/queue', '/console/events', '/console/usage?by=model', '/console/costs?by=model', `/console/clips/${told.evil}`]) {
    await page.goto(base + path);
    check((await page.evaluate(() => window.evil)) === undefined, `${path} ran what somebody wrote`);
  }

  // Out; and the back button shows nothing.
  await page.goto(`${base}/`);
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByRole('heading', { name: 'Log in' }).waitFor();
  await page.goBack();
  await page.getByRole('heading', { name: 'Log in' }).waitFor();
  await shot(page, 'logged-out');
});
